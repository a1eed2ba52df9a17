import { locationOf, type Snapshot } from '../model/snapshot.ts';
import { descendants } from '../model/tree.ts';

/** Which of a VM's snapshots a list shows, in the words and by the rules of `virsh snapshot-list`. */

type Family = Snapshot & { readonly children: readonly string[] };

/** Of one group any may hold, of every group that is named one must. A root is one whose parent is not there. */
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
  /** True: only those without children; false: only those with. */
  readonly leaves?: boolean | undefined;
  readonly internal?: boolean | undefined;
  readonly external?: boolean | undefined;
  readonly inactive?: boolean | undefined;
  readonly active?: boolean | undefined;
  readonly diskOnly?: boolean | undefined;
  /** Only the children of this one. */
  readonly from?: string | undefined;
  /** With `from`: all that is below it. */
  readonly descendants?: boolean | undefined;
}

/** Those of a VM's snapshots that the filter lets through, in their order; none where `from` is not there. */
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
