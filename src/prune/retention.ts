import type { Span } from '../model/input/span.ts';
import { byTimeAndName } from '../model/labels.ts';
import { before, type Period, periodKey, periodName, type Zone } from './calendar.ts';

/**
 * Which snapshots of one VM a prune keeps. A pure function of the snapshots, the rules, the time and its zone.
 *
 * One reason is enough to keep a snapshot. The newest snapshot of each period is kept, and only periods with a snapshot
 * count, so that a VM that was away for a month does not lose its history. A snapshot dated in the future is kept and
 * counts in no period. So is an incomplete one: a snapshot that is still being taken may vanish again, and one that is
 * missing on a disk cannot be reverted to.
 */

/** A snapshot with the properties that decide about it. */
export interface RetentionCandidate {
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
  /**
   * Its position among all snapshots of the VM, parents before their children; absent: by its time. If the clock was set
   * back, a child is dated before its parent but is still the newer one (hazard 52).
   */
  readonly place?: number;
  /** Held by the user. It counts for the keep rules like any other. */
  readonly held: boolean;
  /** Why it is incomplete: still being taken, or not on every disk; null if it is complete. */
  readonly unfinished: string | null;
  /** Why this libvirt would refuse to delete it; null if it would not. */
  readonly undeletable: string | null;
}

/** The keep rules; a rule that was not given is absent, and 0 is a rule that keeps nothing. */
export interface RetentionRules {
  readonly last?: number;
  readonly periods: Readonly<Partial<Record<Period, number>>>;
  /** Keep snapshots younger than this, counted back from the newest snapshot and not from now. */
  readonly within?: Span;
  /** Keep the names for which this returns true. */
  readonly matching?: (name: string) => boolean;
  /** Whether even the newest snapshot may be deleted. */
  readonly allowEmpty: boolean;
}

export interface Decision<C extends RetentionCandidate> {
  readonly snapshot: C;
  readonly keep: boolean;
  /** Why it is kept; empty if it is deleted. */
  readonly reasons: readonly string[];
}

const PERIODS: readonly Period[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];

/** Whether there is any keep rule. Without one, nothing is ever deleted. */
export function hasRules({ last, periods, within, matching }: RetentionRules): boolean {
  return (
    last !== undefined ||
    within !== undefined ||
    matching !== undefined ||
    Object.values(periods).some((count) => count !== undefined)
  );
}

/** A decision in the making, to which reasons are still added. It is not copied in the end, because of plans with thousands of snapshots. */
interface Draft<C> {
  readonly snapshot: C;
  keep: boolean;
  readonly reasons: string[];
}

/** Decides for every snapshot, oldest first: by position in the tree, else by time, and those of the same second by name. */
export function planRetention<C extends RetentionCandidate>(
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
function byAge(a: RetentionCandidate, b: RetentionCandidate): number {
  return a.place === undefined || b.place === undefined ? byTimeAndName(a, b) : a.place - b.place;
}

/** Reasons that do not depend on the other snapshots. */
function standingReasons(
  snapshot: RetentionCandidate,
  { matching }: RetentionRules,
  nowSeconds: number,
): string[] {
  const reasons: string[] = [];
  if (snapshot.held) reasons.push('held');
  if (snapshot.unfinished !== null) reasons.push(snapshot.unfinished);
  if (snapshot.createdAtSeconds > nowSeconds) reasons.push('dated in the future');
  if (snapshot.undeletable !== null) reasons.push(snapshot.undeletable);
  if (matching?.(snapshot.name)) reasons.push('name');
  return reasons;
}

function keepWithin<C extends RetentionCandidate>(
  newestFirst: readonly Draft<C>[],
  { within }: RetentionRules,
  zone: Zone,
): void {
  const newest = newestFirst[0]?.snapshot;
  if (!within || !newest) return;
  // If the clock was set back, an older snapshot may have the latest date; then more is kept.
  // The newest is younger than any span, also if a zone skipped the day that the span goes back over.
  const edge = Math.min(before(newest.createdAtSeconds, within, zone), newest.createdAtSeconds - 1);
  for (const { snapshot, reasons } of newestFirst) {
    if (snapshot.createdAtSeconds > edge) reasons.push('within');
  }
}

function keepPeriods<C extends RetentionCandidate>(
  newestFirst: readonly Draft<C>[],
  { periods }: RetentionRules,
  zone: Zone,
): void {
  if (Object.keys(periods).length === 0) return;
  // The newest of a week, month or year is the newest of its day, so the others need not be considered again.
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

/** The newest snapshot of each period that has one, from the last period backwards. */
function* newestOfEach<C extends RetentionCandidate>(
  period: Period,
  newestFirst: readonly Draft<C>[],
  zone: Zone,
): Generator<Draft<C>> {
  // A set, because a zone that sets its clocks back a minute past midnight returns to the day before.
  const seen = new Set<string>();
  for (const draft of newestFirst) {
    const key = periodKey(period, draft.snapshot.createdAtSeconds, zone);
    if (seen.has(key)) continue;
    seen.add(key);
    yield draft;
  }
}

/** Keeps the newest snapshot that can be reverted to, unless the user allows deleting it. */
function keepNewest<C extends RetentionCandidate>(
  [newest]: readonly Draft<C>[],
  { allowEmpty }: RetentionRules,
): void {
  if (newest?.reasons.length === 0 && !allowEmpty) newest.reasons.push('newest');
}

/** How many snapshots these rules may keep at one time; those kept by age or name are not counted. */
export function mostKept({ last = 0, periods }: RetentionRules): number {
  return Object.values(periods).reduce((sum, count) => sum + (count ?? 0), last);
}
