import { expect, it, vi } from 'vitest';
import type { Period } from '../../src/prune/calendar.ts';
import { planRetention, type RetentionCandidate, type RetentionRules } from '../../src/prune/retention.ts';
import { candidate, expectedReasons, rules } from './retention-model.ts';
import { at, type Clock, changesOf, clockOf, EFFORT } from './wallclock.ts';

/**
 * Years of runs, each a create and then a prune, on two VMs: one that the plan prunes, and one that the slow oracle
 * of retention-model.ts does. After every single run the same snapshots are left on both.
 *
 * By default the two years of Europe/Berlin are hourly throughout. The other zones run every hour for three days before
 * and after each change of the clock and each new year, and every eleven hours in between; the accidents are a few hundred
 * runs each. `RETENTION_RUNS=2` and more runs every hour in every zone, for that many times two years, and that many
 * times the accidents: half a minute each.
 */

vi.setConfig({ testTimeout: 300_000 * EFFORT });

const HOUR = 3600;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** The same numbers every time. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

interface Run {
  readonly now: number;
  readonly changes?: Partial<RetentionCandidate>;
}

function simulate(clock: Clock, runs: Iterable<Run>, given: RetentionRules): RetentionCandidate[] {
  let left: RetentionCandidate[] = [];
  let expected: RetentionCandidate[] = [];
  let count = 0;
  let mostLeft = 0;
  for (const { now, changes } of runs) {
    count++;
    const made = candidate(`nightly-${String((count * 7919) % 1_000_000)}`, now, changes);
    left = planRetention([...left.map(settled), made], given, now, clock.zone)
      .filter(({ keep }) => keep)
      .map(({ snapshot }) => snapshot);
    const before = [...expected.map(settled), made];
    const reasons = expectedReasons(before, given, now, clock);
    expected = before.filter(({ name }) => reasons.get(name)?.length);
    const names = left.map(({ name }) => name).sort();
    // toEqual is slow: it is asked only to show a difference
    if (names.join() !== namesOf(expected))
      expect(names, `after the run of ${now}`).toEqual(namesOf(expected));
    mostLeft = Math.max(mostLeft, left.length);
  }
  expect(mostLeft).toBeLessThan(count / 2);
  return left;
}

const namesOf = (snapshots: readonly RetentionCandidate[]) =>
  snapshots
    .map(({ name }) => name)
    .sort()
    .join();

/** By the next run, what was under way is there. */
const settled = (snapshot: RetentionCandidate): RetentionCandidate => ({ ...snapshot, unfinished: null });

/** See above for the pace; always by whole hours. */
function* twoYears(clock: Clock, from: number): Generator<Run> {
  const newYears = Array.from({ length: 50 }, (_, index) => at(`${2000 + index}-01-01T00:00Z`));
  const events = [...changesOf(clock), ...newYears];
  const dense = EFFORT > 1 || clock.name === 'Europe/Berlin';
  const end = from + 2 * EFFORT * YEAR;
  for (let now = from; now < end; ) {
    yield { now };
    const near = dense || events.some((event) => Math.abs(event - now) < 3 * DAY);
    now += near ? HOUR : 11 * HOUR;
  }
}

const SPAN = { hours: 0, days: 0, months: 0 };
type Policy = Partial<RetentionRules> & { readonly periods: Readonly<Partial<Record<Period, number>>> };

// the two years that have the most to show in each zone, and rules that keep little, so that they bite often
const ZONES: [string, string, Policy][] = [
  ['UTC', '2019-12-25', { periods: { hourly: 3, weekly: 9 } }],
  ['Europe/Berlin', '2025-02-01', { periods: { hourly: 2, daily: 3, weekly: 2, monthly: 2, yearly: 2 } }],
  ['America/New_York', '2025-02-01', { periods: { daily: 5, monthly: 3 }, within: { ...SPAN, hours: 5 } }],
  ['America/St_Johns', '2009-12-30', { last: 2, periods: { hourly: 4, daily: 5, monthly: 3 } }],
  ['Australia/Lord_Howe', '2026-03-01', { periods: { hourly: 5, weekly: 3 }, within: { ...SPAN, days: 1 } }],
  ['Asia/Kolkata', '2023-06-15', { last: 5, periods: { daily: 3, yearly: 3 } }],
  ['Africa/Casablanca', '2025-01-15', { periods: { hourly: 6, daily: 4, weekly: 4 } }],
  ['America/Sao_Paulo', '2017-01-15', { periods: { daily: 12, yearly: 1 } }],
  ['Pacific/Apia', '2010-12-01', { periods: { hourly: 2, daily: 9, weekly: 5, monthly: 2 } }],
];

it.each(ZONES)('two years of runs in %s from %s', (zone, from, policy) => {
  const clock = clockOf(zone);
  const start = at(`${from}T00:00Z`);
  const given = rules(policy);
  const runs = [...twoYears(clock, start)];
  const left = simulate(clock, runs, given);

  // and pruning every time has left what a single prune at the end leaves
  const all = runs.map(({ now }) => candidate(`at ${now}`, now));
  const once = planRetention(all, given, Number.MAX_SAFE_INTEGER, clock.zone).filter(({ keep }) => keep);
  expect(left.map(({ createdAtSeconds }) => createdAtSeconds)).toEqual(
    once.map(({ snapshot }) => snapshot.createdAtSeconds),
  );
});

/** Runs with every accident that a VM can have; some snapshots held, under way, or not to be deleted. */
function* accidents(from: number, count: number, seed: number, happens: Accidents): Generator<Run> {
  const roll = dice(seed);
  let now = from;
  for (let run = 0; run < count; run++) {
    now += happens(roll);
    const changes = {
      held: roll(150) === 0,
      unfinished: roll(20) === 0 ? 'under way' : null,
      undeletable: roll(150) === 0 ? 'has external disks' : null,
    };
    yield { now, changes };
  }
}

/** Seconds from one run to the next. */
type Accidents = (roll: (sides: number) => number) => number;

const ACCIDENTS: [string, Accidents][] = [
  ['a VM that is off for weeks', (roll) => (roll(60) === 0 ? (7 + roll(60)) * DAY + roll(DAY) : HOUR)],
  [
    'a clock that jumps back and forth by hours, days and months',
    (roll) => {
      const size = [HOUR, 5 * HOUR, 3 * DAY, 80 * DAY][roll(4)] ?? HOUR;
      return roll(25) === 0 ? roll(2 * size) - size : 2 * HOUR;
    },
  ],
  ['irregular times', (roll) => roll([2, 90, HOUR, DAY, 9 * DAY][roll(5)] ?? 1)],
];

const ALL_RULES = rules({
  last: 3,
  periods: { hourly: 3, daily: 4, weekly: 3, monthly: 3, yearly: 2 },
  within: { hours: 2, days: 2, months: 0 },
  matching: (name) => name.endsWith('77'),
});

it.each(
  ACCIDENTS.flatMap(([title, happens]) =>
    ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'].map((zone): [string, string, Accidents] => [
      title,
      zone,
      happens,
    ]),
  ),
)('%s, in %s', (_, zone, happens) => {
  for (let seed = 1; seed <= EFFORT; seed++) {
    simulate(clockOf(zone), accidents(at('2024-01-01T00:00Z'), 300, seed, happens), ALL_RULES);
  }
});
