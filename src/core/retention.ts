import { before, type Period, periodKey, periodName, type Span, type Zone } from './calendar.ts';

/**
 * Which snapshots of one machine a prune keeps. A pure function of the snapshots, the rules, the time and its zone.
 *
 * Rules are OR-ed: one reason is enough to stay. Of a period its newest snapshot is kept, and only periods that have a
 * snapshot count, so that a machine that was not there for a month does not lose its history. What is dated in the
 * future is kept and counts nowhere; what is still being taken likewise, for it may vanish again.
 */

/** One snapshot, as far as a prune is concerned. */
export interface Candidate {
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
  /** Protected by the user. It counts for the rules like any other. */
  readonly held: boolean;
  /** libvirt is still writing it. */
  readonly underWay: boolean;
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
    last !== undefined || within !== undefined || matching !== undefined || Object.keys(periods).length > 0
  );
}

/** Decides for every snapshot, oldest first; those of one second by name. */
export function planRetention<C extends Candidate>(
  snapshots: readonly C[],
  rules: RetentionRules,
  nowSeconds: number,
  zone: Zone,
): Decision<C>[] {
  const sorted = [...snapshots].sort(
    (a, b) => a.createdAtSeconds - b.createdAtSeconds || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  const reasons = new Map<C, string[]>(sorted.map((snapshot) => [snapshot, []]));
  const keep = (snapshot: C, reason: string) => reasons.get(snapshot)?.push(reason);

  const newestFirst = sorted
    .filter((snapshot) => snapshot.createdAtSeconds <= nowSeconds && !snapshot.underWay)
    .reverse();
  for (const snapshot of sorted) {
    for (const reason of standingReasons(snapshot, rules, nowSeconds)) keep(snapshot, reason);
  }
  for (const snapshot of newestFirst.slice(0, rules.last ?? 0)) keep(snapshot, 'last');
  keepWithin(newestFirst, rules, zone, keep);
  for (const period of PERIODS) keepPeriods(newestFirst, period, rules.periods[period] ?? 0, zone, keep);
  keepNewest(newestFirst, rules, reasons);

  return sorted.map((snapshot) => {
    const why = reasons.get(snapshot) ?? [];
    return { snapshot, keep: why.length > 0, reasons: why };
  });
}

/** Reasons that do not depend on the other snapshots. */
function standingReasons(snapshot: Candidate, rules: RetentionRules, nowSeconds: number): string[] {
  return [
    ...(hasRules(rules) ? [] : ['no rule']),
    ...(snapshot.held ? ['held'] : []),
    ...(snapshot.underWay ? ['under way'] : []),
    ...(snapshot.createdAtSeconds > nowSeconds ? ['dated in the future'] : []),
    ...(snapshot.undeletable === null ? [] : [snapshot.undeletable]),
    ...(rules.matching?.(snapshot.name) ? ['name'] : []),
  ];
}

type Keep<C> = (snapshot: C, reason: string) => void;

function keepWithin<C extends Candidate>(
  newestFirst: readonly C[],
  { within }: RetentionRules,
  zone: Zone,
  keep: Keep<C>,
): void {
  const [newest] = newestFirst;
  if (!within || !newest) return;
  const edge = before(newest.createdAtSeconds, within, zone);
  for (const snapshot of newestFirst) if (snapshot.createdAtSeconds > edge) keep(snapshot, 'within');
}

/** The newest snapshot of each of the last `count` periods that have one. */
function keepPeriods<C extends Candidate>(
  newestFirst: readonly C[],
  period: Period,
  count: number,
  zone: Zone,
  keep: Keep<C>,
): void {
  // A set, since a zone that changes its clocks a minute past midnight returns to the day before.
  const seen = new Set<string>();
  for (const snapshot of newestFirst) {
    const key = periodKey(period, snapshot.createdAtSeconds, zone);
    if (seen.has(key)) continue;
    if (seen.size === count) return;
    seen.add(key);
    keep(snapshot, `${period} ${periodName(period, snapshot.createdAtSeconds, zone)}`);
  }
}

/** The guard: a prune never takes the last one that can be reverted to. */
function keepNewest<C extends Candidate>(
  newestFirst: readonly C[],
  { allowEmpty }: RetentionRules,
  reasons: Map<C, string[]>,
): void {
  const [newest] = newestFirst;
  const why = newest && reasons.get(newest);
  if (why?.length === 0 && !allowEmpty) why.push('newest');
}
