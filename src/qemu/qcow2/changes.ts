import type { Header } from './header.ts';
import { countChanged } from './l2-entries.ts';
import type { Tree } from './l2-tables.ts';
import type { ReadAhead } from './read-ahead.ts';

/** What differs between snapshots: only where they have not the same L2 table, and each two tables are compared once. */

interface Comparison {
  /** Places among the L2 tables; null for no table. */
  readonly one: number;
  readonly other: number | null;
  /** Snapshots, by their place, that differ from what they are compared with in these two tables. */
  readonly between: number[];
}

/** By the place of the later table of the two: then both have been read. */
export type Comparisons = ReadonlyMap<number, readonly Comparison[]>;

/** Which tables to compare. `since`: by place of a snapshot, that of the snapshot to compare it with. */
export function planComparisons(trees: readonly Tree[], since: ReadonlyMap<number, number>): Comparisons {
  const byTables = new Map<string, Comparison>();
  for (const [place, earlier] of since) {
    const [tree, base] = [trees[place], trees[earlier]];
    if (!tree || !base) continue;
    const entries = Math.max(diskEntries(tree), diskEntries(base));
    for (let index = 0; index < entries; index++) {
      const [one, other] = [tableAt(tree, index), tableAt(base, index)];
      if (one === other) continue;
      const key = one < other ? `${one} ${other}` : `${other} ${one}`;
      const known = byTables.get(key);
      if (known) known.between.push(place);
      else
        byTables.set(key, {
          one: Math.max(one, other) - 1,
          other: Math.min(one, other) === 0 ? null : Math.min(one, other) - 1,
          between: [place],
        });
    }
  }
  const byPlace = new Map<number, Comparison[]>();
  for (const comparison of byTables.values()) {
    const those = byPlace.get(comparison.one);
    if (those) those.push(comparison);
    else byPlace.set(comparison.one, [comparison]);
  }
  return byPlace;
}

/** Entries of L1 for the disk; what is beyond maps the saved memory. */
const diskEntries = ({ l1, snapshot }: Tree): number => Math.min(l1.length, snapshot.vmStateIndex);

const tableAt = (tree: Tree, index: number): number =>
  index < diskEntries(tree) ? (tree.l1[index] ?? 0) : 0;

/** Adds to `changed`, by place of a snapshot, the clusters in which the table at that place differs from earlier ones. */
export async function compareTables(
  comparisons: Comparisons,
  reader: ReadAhead,
  header: Header,
  place: number,
  changed: Float64Array,
): Promise<void> {
  for (const { one, other, between } of comparisons.get(place) ?? []) {
    const table = await reader.at(one);
    const count = countChanged(table, other === null ? null : await reader.at(other), header);
    for (const snapshot of between) changed[snapshot] = (changed[snapshot] ?? 0) + count;
  }
}
