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
}

/** The snapshots that match the filter, in their order; none if the snapshot `from` does not exist. */
export function filterSnapshots<S extends Family>(snapshots: readonly S[], filter: SnapshotFilter): S[] {
  const below = belowOf(snapshots, filter);
  const groups = GROUPS.map((group) =>
    Object.entries(group).flatMap(([key, holds]) => (filter[key as keyof SnapshotFilter] ? [holds] : [])),
  ).filter((chosen) => chosen.length > 0);
  return snapshots.filter(
    (snapshot) =>
      (below === null || below.has(snapshot.name)) &&
      (filter.leaves ?? isLeaf(snapshot)) === isLeaf(snapshot) &&
      groups.every((chosen) => chosen.some((holds) => holds(snapshot))),
  );
}

const isLeaf = ({ children }: Family): boolean => children.length === 0;

function belowOf(
  snapshots: readonly Family[],
  { from, descendants: all }: SnapshotFilter,
): Set<string> | null {
  if (from === undefined) return null;
  if (all) return new Set(descendants(snapshots, from).map(({ name }) => name));
  return new Set(snapshots.filter(({ parent }) => parent === from).map(({ name }) => name));
}
