import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import {
  hasRules,
  planRetention,
  type RetentionCandidate,
  type RetentionRules,
} from '../../src/prune/retention.ts';
import { expectedReasons, PERIODS, type Scene, scenes, someRules } from './retention-model.ts';
import { EFFORT } from './wallclock.ts';

vi.setConfig({ testTimeout: 300_000 * EFFORT });

const ruleSets = someRules.filter(hasRules);

const plan = ({ snapshots, now, clock }: Scene, given: RetentionRules) =>
  planRetention(snapshots, given, now, clock.zone);

const kept = (scene: Scene, given: RetentionRules): RetentionCandidate[] =>
  plan(scene, given).flatMap(({ snapshot, keep }) => (keep ? [snapshot] : []));

function always<Values extends [unknown, ...unknown[]]>(
  title: string,
  arbitraries: { [Index in keyof Values]: fc.Arbitrary<Values[Index]> },
  check: (...values: Values) => void,
): void {
  it(title, () => {
    fc.assert(fc.property(...arbitraries, check), { numRuns: 300 * EFFORT });
  });
}

const larger = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : b === undefined ? a : a + b;

/** Both rule sets in one, with counts and spans added up. */
function united(some: RetentionRules, more: RetentionRules): RetentionRules {
  const last = larger(some.last, more.last);
  const matches = [some.matching, more.matching].filter((matching) => matching !== undefined);
  const spans = [some.within, more.within].filter((within) => within !== undefined);
  return {
    ...(last === undefined ? {} : { last }),
    periods: Object.fromEntries(
      PERIODS.flatMap((period) => {
        const count = larger(some.periods[period], more.periods[period]);
        return count === undefined ? [] : [[period, count]];
      }),
    ),
    ...(spans.length === 0
      ? {}
      : {
          within: spans.reduce((a, b) => ({
            hours: a.hours + b.hours,
            days: a.days + b.days,
            months: a.months + b.months,
          })),
        }),
    ...(matches.length === 0
      ? {}
      : { matching: (name: string) => matches.some((matching) => matching(name)) }),
    allowEmpty: some.allowEmpty && more.allowEmpty,
  };
}

always('it does what the oracle does, for the same reasons', [scenes, someRules], (scene, given) => {
  const decided = plan(scene, given).map(({ snapshot, reasons }): [string, string[]] => [
    snapshot.name,
    [...reasons].sort(),
  ]);
  expect(new Map(decided)).toEqual(expectedReasons(scene.snapshots, given, scene.now, scene.clock));
});

always('more rules and larger ones never delete more', [scenes, ruleSets, someRules], (scene, some, more) => {
  expect(kept(scene, united(some, more))).toEqual(expect.arrayContaining(kept(scene, some)));
});

always('a second run deletes nothing more', [scenes, ruleSets], (scene, given) => {
  const left = kept(scene, given);
  expect(kept({ ...scene, snapshots: left }, given)).toEqual(left);
});

always(
  'nor does a later one, unless what was dated in the future has come',
  [scenes, ruleSets, fc.nat({ max: 100_000_000 })],
  (scene, given, pause) => {
    const left = kept({ ...scene, snapshots: present(scene) }, given);
    expect(kept({ ...scene, snapshots: left, now: scene.now + pause }, given)).toEqual(left);
  },
);

const present = ({ snapshots, now }: Scene) => snapshots.filter((one) => one.createdAtSeconds <= now);

always('the newest stays, unless that is allowed', [scenes, ruleSets], (scene, given) => {
  const newest = present(scene)
    .filter(({ unfinished }) => unfinished === null)
    .sort((a, b) => a.createdAtSeconds - b.createdAtSeconds || (a.name < b.name ? -1 : 1))
    .at(-1);
  const left = kept(scene, { ...given, allowEmpty: false });
  if (newest) expect(left).toContain(newest);
  else expect(left).toHaveLength(scene.snapshots.length);
});

always('with allow-empty goes at most the newest', [scenes, ruleSets], (scene, given) => {
  const guarded = plan(scene, { ...given, allowEmpty: false });
  const open = kept(scene, { ...given, allowEmpty: true });
  const gone = guarded.filter(({ snapshot, keep }) => keep && !open.includes(snapshot));
  expect(gone.map(({ reasons }) => reasons)).toEqual(gone.length > 0 ? [['newest']] : []);
});

always(
  'the order of the input does not matter',
  [
    scenes.chain((scene) =>
      fc.tuple(
        fc.constant(scene),
        fc.shuffledSubarray([...scene.snapshots], { minLength: scene.snapshots.length }),
      ),
    ),
    someRules,
  ],
  ([scene, shuffled], given) => {
    const before = [...shuffled];
    expect(plan({ ...scene, snapshots: shuffled }, given)).toEqual(plan(scene, given));
    expect(shuffled).toEqual(before);
  },
);

always(
  'what is held, to come, under way or cannot go is never deleted',
  [scenes, someRules],
  (scene, given) => {
    for (const { snapshot, keep } of plan(scene, given)) {
      const { held, unfinished, undeletable, createdAtSeconds } = snapshot;
      if (held || unfinished !== null || undeletable !== null || createdAtSeconds > scene.now)
        expect(keep).toBe(true);
    }
  },
);

always(
  'what stays has a reason, what goes has none; each is decided once',
  [scenes, someRules],
  (scene, given) => {
    const decisions = plan(scene, given);
    for (const { keep, reasons } of decisions) expect(reasons.length > 0).toBe(keep);
    expect(new Set(decisions.map(({ snapshot }) => snapshot))).toEqual(new Set(scene.snapshots));
    expect(decisions).toHaveLength(scene.snapshots.length);
    const times = decisions.map(({ snapshot }) => snapshot.createdAtSeconds);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  },
);

always('what is under way or to come changes nothing for the others', [scenes, someRules], (scene, given) => {
  const settled = present(scene).filter(({ unfinished }) => unfinished === null);
  const among = plan(scene, given).filter(({ snapshot }) => settled.includes(snapshot));
  expect(among).toEqual(plan({ ...scene, snapshots: settled }, given));
});

always('without a rule all stay', [scenes, fc.boolean()], (scene, allowEmpty) => {
  expect(kept(scene, { periods: {}, allowEmpty })).toHaveLength(scene.snapshots.length);
});
