import { byTimeAndName } from '../model/labels.ts';
import type { Span } from '../model/span.ts';
import { before, type Period, periodKey, periodName, type Zone } from './calendar.ts';

/**
 * Which snapshots of one VM a prune keeps. A pure function of the snapshots, the rules, the time and its zone.
 *
 * Rules are OR-ed: one reason is enough to stay. Of a period its newest snapshot is kept, and only periods that have a
 * snapshot count, so that a VM that was not there for a month does not lose its history. What is dated in the
 * future is kept and counts nowhere; what is not whole likewise: one still being taken may vanish again, and one that a
 * disk lacks is nothing to go back to.
 */

/** One snapshot, as far as a prune is concerned. */
export interface Candidate {
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
  /**
   * Its place among all snapshots of the VM, parents before their children; absent: by its time. Where the clock was set back,
   * a child is dated before its parent, and is the newer one all the same (hazard 52).
   */
  readonly place?: number;
  /** Protected by the user. It counts for the rules like any other. */
  readonly held: boolean;
  /** Why it is not whole: still being written, or not in every disk; null when it is. */
  readonly unfinished: string | null;
  /** Why this libvirt would refuse to delete it; null when it would not. */
  readonly undeletable: string | null;
}

/** A rule that was not given is absent; 0 is a rule that keeps nothing. */
export interface RetentionRules {
  readonly last?: number;
  readonly periods: Readonly<Partial<Record<Period, number>>>;
  /** Keep what is younger than this, counted back from the newest snapshot and not from now. */
  readonly within?: Span;
  /** Keep the names that this says yes to. */
  readonly matching?: (name: string) => boolean;
  /** Do not keep the newest one whatever the rules say. */
  readonly allowEmpty: boolean;
}

export interface Decision<C extends Candidate> {
  readonly snapshot: C;
  readonly keep: boolean;
  /** Why it stays; empty when it goes. */
  readonly reasons: readonly string[];
}

const PERIODS: readonly Period[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];

/** True when some rule is given. Without any, nothing is ever deleted. */
export function hasRules({ last, periods, within, matching }: RetentionRules): boolean {
  return (
    last !== undefined ||
    within !== undefined ||
    matching !== undefined ||
    Object.values(periods).some((count) => count !== undefined)
  );
}

/** A decision being made: reasons are still added. It is not copied in the end, which ten thousand would notice. */
interface Draft<C> {
  readonly snapshot: C;
  keep: boolean;
  readonly reasons: string[];
}

/** Decides for every snapshot, oldest first: by their places in the tree, else by time, and those of one second by name. */
export function planRetention<C extends Candidate>(
  snapshots: readonly C[],
  rules: RetentionRules,
  nowSeconds: number,
  zone: Zone,
): Decision<C>[] {
  const ruled = hasRules(rules);
  const drafts = [...snapshots].sort(byAge).map((snapshot): Draft<C> => {
    const reasons = standingReasons(snapshot, rules, nowSeconds);
    return { snapshot, keep: false, reasons: ruled ? reasons : ['no rule', ...reasons] };
  });
  const newestFirst = drafts
    .filter(({ snapshot }) => snapshot.createdAtSeconds <= nowSeconds && snapshot.unfinished === null)
    .reverse();
  for (const { reasons } of newestFirst.slice(0, rules.last ?? 0)) reasons.push('last');
  keepWithin(newestFirst, rules, zone);
  keepPeriods(newestFirst, rules, zone);
  keepNewest(newestFirst, rules);
  for (const draft of drafts) draft.keep = draft.reasons.length > 0;
  return drafts;
}

/** Sorts the oldest first. */
function byAge(a: Candidate, b: Candidate): number {
  return a.place === undefined || b.place === undefined ? byTimeAndName(a, b) : a.place - b.place;
}

/** Reasons that do not depend on the other snapshots. */
function standingReasons(snapshot: Candidate, { matching }: RetentionRules, nowSeconds: number): string[] {
  const reasons: string[] = [];
  if (snapshot.held) reasons.push('held');
  if (snapshot.unfinished !== null) reasons.push(snapshot.unfinished);
  if (snapshot.createdAtSeconds > nowSeconds) reasons.push('dated in the future');
  if (snapshot.undeletable !== null) reasons.push(snapshot.undeletable);
  if (matching?.(snapshot.name)) reasons.push('name');
  return reasons;
}

function keepWithin<C extends Candidate>(
  newestFirst: readonly Draft<C>[],
  { within }: RetentionRules,
  zone: Zone,
): void {
  const newest = newestFirst[0]?.snapshot;
  if (!within || !newest) return;
  // of a clock that was set back, the youngest date may be an older one's, and then more is kept
  // The newest is younger than any span, also where a zone skipped the day that the span goes back over.
  const edge = Math.min(before(newest.createdAtSeconds, within, zone), newest.createdAtSeconds - 1);
  for (const { snapshot, reasons } of newestFirst) {
    if (snapshot.createdAtSeconds > edge) reasons.push('within');
  }
}

function keepPeriods<C extends Candidate>(
  newestFirst: readonly Draft<C>[],
  { periods }: RetentionRules,
  zone: Zone,
): void {
  if (Object.keys(periods).length === 0) return;
  // The newest of a week, month or year is the newest of its day: the others need not be looked at again.
  const days = [...newestOfEach('daily', newestFirst, zone)];
  for (const period of PERIODS) {
    let left = periods[period] ?? 0;
    for (const { snapshot, reasons } of newestOfEach(
      period,
      period === 'hourly' ? newestFirst : days,
      zone,
    )) {
      if (left === 0) break;
      left--;
      reasons.push(`${period} ${periodName(period, snapshot.createdAtSeconds, zone)}`);
    }
  }
}

/** The newest snapshot of each period that has one, from the last period back. */
function* newestOfEach<C extends Candidate>(
  period: Period,
  newestFirst: readonly Draft<C>[],
  zone: Zone,
): Generator<Draft<C>> {
  // A set, since a zone that changes its clocks a minute past midnight returns to the day before.
  const seen = new Set<string>();
  for (const draft of newestFirst) {
    const key = periodKey(period, draft.snapshot.createdAtSeconds, zone);
    if (seen.has(key)) continue;
    seen.add(key);
    yield draft;
  }
}

/** The guard: a prune never takes the last one that can be reverted to. */
function keepNewest<C extends Candidate>(
  [newest]: readonly Draft<C>[],
  { allowEmpty }: RetentionRules,
): void {
  if (newest?.reasons.length === 0 && !allowEmpty) newest.reasons.push('newest');
}

/** The snapshots that these rules may keep at one time; what they keep by time or name is not counted. */
export function mostKept({ last = 0, periods }: RetentionRules): number {
  return Object.values(periods).reduce((sum, count) => sum + (count ?? 0), last);
}
