import { byTimeAndName } from '../model/labels.ts';
import { locationOf, type Snapshot } from '../model/snapshot.ts';
import { descendants } from '../model/tree.ts';

/** Chooses which of a VM's snapshots a list shows, by the rules of `virsh snapshot-list`. */

type Family = Snapshot & { readonly children: readonly string[] };

/**
 * Of the filters in one group, at least one must match; this holds for every group with a filter. A root is a snapshot
 * whose parent does not exist.
 */
const GROUPS = [
  { roots: ({ parent }: Family) => parent === null },
  {
    internal: (snapshot: Family) => locationOf(snapshot) === 'internal',
    external: (snapshot: Family) => locationOf(snapshot) === 'external',
  },
  {
    inactive: ({ state }: Family) => state === 'shutoff',
    active: ({ state }: Family) => state !== 'shutoff' && state !== 'disk-snapshot',
    diskOnly: ({ state }: Family) => state === 'disk-snapshot',
  },
] as const;

export interface SnapshotFilter {
  readonly roots?: boolean | undefined;
  /** True: only snapshots without children; false: only snapshots with children. */
  readonly leaves?: boolean | undefined;
  readonly internal?: boolean | undefined;
  readonly external?: boolean | undefined;
  readonly inactive?: boolean | undefined;
  readonly active?: boolean | undefined;
  readonly diskOnly?: boolean | undefined;
  /** Only the children of this snapshot. */
  readonly from?: string | undefined;
  /** With `from`: all descendants. */
  readonly descendants?: boolean | undefined;
  /** With `from`: this snapshot too. */
  readonly withFrom?: boolean | undefined;
  /** Only those that are younger. */
  readonly since?: { readonly seconds: number } | undefined;
  /** Only so many, the newest of those that are left. */
  readonly newest?: number | undefined;
}

/**
 * The snapshots that match the filter, in their order; none if the snapshot `from` does not exist. `now`: in seconds since the
 * epoch.
 */
export function filterSnapshots<S extends Family>(
  snapshots: readonly S[],
  filter: SnapshotFilter,
  now: number,
): S[] {
  const { since } = filter;
  const below = belowOf(snapshots, filter);
  const groups = GROUPS.map((group) =>
    Object.entries(group).flatMap(([key, holds]) => (filter[key as keyof SnapshotFilter] ? [holds] : [])),
  ).filter((chosen) => chosen.length > 0);
  const chosen = snapshots.filter(
    (snapshot) =>
      (since === undefined || snapshot.createdAtSeconds >= now - since.seconds) &&
      (below === null || below.has(snapshot.name)) &&
      (filter.leaves ?? isLeaf(snapshot)) === isLeaf(snapshot) &&
      groups.every((wanted) => wanted.some((holds) => holds(snapshot))),
  );
  return newestOf(chosen, filter.newest);
}

/** The newest by time, in the order in which they stand. */
function newestOf<S extends Family>(snapshots: S[], count: number | undefined): S[] {
  if (count === undefined) return snapshots;
  const newest = new Set([...snapshots].sort(byTimeAndName).slice(-count));
  return snapshots.filter((snapshot) => newest.has(snapshot));
}

const isLeaf = ({ children }: Family): boolean => children.length === 0;

function belowOf(
  snapshots: readonly Family[],
  { from, descendants: all, withFrom }: SnapshotFilter,
): Set<string> | null {
  if (from === undefined) return null;
  const below = all ? descendants(snapshots, from) : snapshots.filter(({ parent }) => parent === from);
  return new Set([...(withFrom ? [from] : []), ...below.map(({ name }) => name)]);
}
