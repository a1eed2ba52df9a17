import fc from 'fast-check';
import type { Period } from '../../src/prune/calendar.ts';
import type { RetentionCandidate, RetentionRules } from '../../src/prune/retention.ts';
import { CLOCKS, type Clock, changesOf, identityOf, momentBefore, nameOf, spans } from './wallclock.ts';

/** Snapshots and rules for the retention tests, made by hand or by chance, and what has to come of them. */

export function candidate(
  name: string,
  createdAtSeconds: number,
  changes: Partial<RetentionCandidate> = {},
): RetentionCandidate {
  return { name, createdAtSeconds, held: false, unfinished: null, undeletable: null, ...changes };
}

export function rules(changes: Partial<RetentionRules> = {}): RetentionRules {
  return { periods: {}, allowEmpty: false, ...changes };
}

export const PERIODS: readonly Period[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];

/**
 * The oracle: why each snapshot stays, by name, the reasons in alphabetical order. It looks at each snapshot by itself,
 * compares it with every other one, and shares nothing but types with src.
 */
export function expectedReasons(
  snapshots: readonly RetentionCandidate[],
  given: RetentionRules,
  now: number,
  clock: Clock,
): Map<string, string[]> {
  const counted = snapshots.filter((one) => one.createdAtSeconds <= now && one.unfinished === null);
  const newest = counted.find((one) => counted.every((other) => other === one || newer(one, other)));
  const nothingAsked =
    given.last === undefined && !given.within && !given.matching && Object.keys(given.periods).length === 0;
  const edge = newest && given.within && momentBefore(clock, newest.createdAtSeconds, given.within);
  const why = (snapshot: RetentionCandidate): string[] => {
    const reasons = [...(nothingAsked ? ['no rule'] : []), ...ofItself(snapshot, given, now)];
    if (counted.includes(snapshot)) {
      reasons.push(...amongOthers(snapshot, counted, given, clock));
      const { createdAtSeconds } = snapshot;
      const sameAge = createdAtSeconds === newest?.createdAtSeconds;
      if (edge !== undefined && (createdAtSeconds > edge || sameAge)) reasons.push('within');
    }
    if (snapshot === newest && reasons.length === 0 && !given.allowEmpty) reasons.push('newest');
    return reasons.sort();
  };
  return new Map(snapshots.map((snapshot) => [snapshot.name, why(snapshot)]));
}

const newer = (one: RetentionCandidate, other: RetentionCandidate) =>
  one.createdAtSeconds > other.createdAtSeconds ||
  (one.createdAtSeconds === other.createdAtSeconds && one.name > other.name);

function ofItself(snapshot: RetentionCandidate, given: RetentionRules, now: number): string[] {
  const reasons: string[] = [];
  if (snapshot.held) reasons.push('held');
  if (snapshot.unfinished !== null) reasons.push(snapshot.unfinished);
  if (snapshot.createdAtSeconds > now) reasons.push('dated in the future');
  if (snapshot.undeletable !== null) reasons.push(snapshot.undeletable);
  if (given.matching?.(snapshot.name)) reasons.push('name');
  return reasons;
}

function amongOthers(
  snapshot: RetentionCandidate,
  counted: readonly RetentionCandidate[],
  given: RetentionRules,
  clock: Clock,
): string[] {
  const newerOnes = counted.filter((other) => newer(other, snapshot));
  const reasons = newerOnes.length < (given.last ?? 0) ? ['last'] : [];
  for (const period of PERIODS) {
    const count = given.periods[period];
    if (!count) continue;
    const identity = identityOf(period, clock, snapshot.createdAtSeconds);
    const later = newerOnes.map((other) => identityOf(period, clock, other.createdAtSeconds));
    if (later.includes(identity) || new Set(later).size >= count) continue;
    reasons.push(`${period} ${nameOf(period, clock, snapshot.createdAtSeconds)}`);
  }
  return reasons;
}

const counts = fc.oneof(fc.constant(0), fc.nat({ max: 5 }));

/** Rules of every kind; also none, and such as keep nothing. */
export const someRules: fc.Arbitrary<RetentionRules> = fc.record(
  {
    last: counts,
    // often none, so that the guard has something to do
    periods: fc.oneof(
      fc.constant({}),
      fc.record(
        { hourly: counts, daily: counts, weekly: counts, monthly: counts, yearly: counts },
        { requiredKeys: [] },
      ),
    ),
    within: spans,
    matching: fc.constantFrom(
      (name: string) => name.startsWith('a'),
      () => false,
    ),
    allowEmpty: fc.boolean(),
  },
  { requiredKeys: ['periods', 'allowEmpty'] },
);

export interface Scene {
  readonly clock: Clock;
  readonly snapshots: readonly RetentionCandidate[];
  readonly now: number;
}

const flag = (weight: number) =>
  fc.oneof({ weight, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

/** Snapshots around a change of the clock of a zone, in steps of seconds up to months; some in the future, some tied. */
export const scenes: fc.Arbitrary<Scene> = fc
  .constantFrom(...CLOCKS.map((clock) => ({ clock, changes: changesOf(clock) })))
  .chain(({ clock, changes }) => {
    const steps = fc.constantFrom(
      0,
      1,
      60,
      1800,
      3600,
      3599,
      7200,
      43_200,
      86_400,
      90_000,
      604_800,
      2_500_000,
    );
    const snapshot = fc.record({
      letter: fc.constantFrom('a', 'b', 'Z', 'é', '9'),
      step: steps,
      held: flag(12),
      unfinished: flag(12).map((is) => (is ? 'under way' : null)),
      undeletable: fc.oneof(
        { weight: 12, arbitrary: fc.constant(null) },
        fc.constantFrom('has children', ''),
      ),
    });
    return fc
      .record({
        start: fc.constantFrom(...(changes.length > 0 ? changes : [1_600_000_000])),
        lead: fc.oneof(fc.nat({ max: 100_000 }), fc.nat({ max: 5000 })),
        made: fc.array(snapshot, { maxLength: 30 }),
        future: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 200_000 })),
      })
      .map(({ start, lead, made, future }) => {
        let moment = start - lead;
        const snapshots = made.map(({ letter, step, ...flags }, index) => {
          moment += step;
          return candidate(`${letter}${index}`, moment, flags);
        });
        return { clock, snapshots, now: moment - future };
      });
  });
