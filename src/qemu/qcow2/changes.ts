import { createBreath, viewOf } from './bytes.ts';
import type { Clusters } from './clusters.ts';
import type { Header } from './header.ts';
import type { Tree } from './l2-tables.ts';

/** What differs between snapshots: only where they have not the same L2 table, and two tables are compared only once. */

interface Comparison {
  /** Places among the L2 tables, the later one and the earlier one; null for no table. */
  readonly later: number;
  readonly earlier: number | null;
  /** The snapshots, by place, that differ in these two tables from what they are compared with. */
  readonly between: number[];
}

/** By the place of the later table: then both have been read. */
export type Comparisons = ReadonlyMap<number, readonly Comparison[]>;

/** Between two turns of the event loop. */
const ENTRIES_AT_ONCE = 4096;

/** Which tables to compare. `since`: by place of a snapshot, that of the snapshot to compare it with. */
export async function planComparisons(
  trees: readonly Tree[],
  since: ReadonlyMap<number, number>,
): Promise<Comparisons> {
  const known = new Map<number, Comparison>();
  const plan = new Map<number, Comparison[]>();
  const breath = createBreath(ENTRIES_AT_ONCE);
  for (const [place, base] of since) {
    await breath(diskEntries(trees[place]));
    for (const [one, other] of tablesThatDiffer(trees[place], trees[base])) {
      const [later, earlier] = [Math.max(one, other), Math.min(one, other)];
      // there are never 2^23 tables
      const key = later * 2 ** 23 + earlier;
      const comparison = known.get(key) ?? {
        later: later - 1,
        earlier: earlier === 0 ? null : earlier - 1,
        between: [],
      };
      comparison.between.push(place);
      if (known.has(key)) continue;
      known.set(key, comparison);
      const others = plan.get(later - 1);
      if (others) others.push(comparison);
      else plan.set(later - 1, [comparison]);
    }
  }
  return plan;
}

function* tablesThatDiffer(one: Tree | undefined, other: Tree | undefined): Generator<[number, number]> {
  const entries = Math.max(diskEntries(one), diskEntries(other));
  for (let index = 0; index < entries; index++) {
    const pair: [number, number] = [tableOfDisk(one, index), tableOfDisk(other, index)];
    if (pair[0] !== pair[1]) yield pair;
  }
}

/** Entries of L1 for the disk; what is beyond maps the saved memory. */
const diskEntries = (tree: Tree | undefined): number =>
  tree ? Math.min(tree.l1.length, tree.snapshot.vmStateIndex) : 0;

/** The place of its table plus 1; 0 for none. */
const tableOfDisk = (tree: Tree | undefined, index: number): number =>
  index < diskEntries(tree) ? (tree?.l1[index] ?? 0) : 0;

/** Adds to `changed`, by place of a snapshot, the clusters in which the table at that place differs from earlier ones. */
export function compareTables(
  comparisons: Comparisons,
  tables: Clusters,
  header: Header,
  place: number,
  changed: Float64Array,
): void {
  for (const { earlier, between } of comparisons.get(place) ?? []) {
    const base = earlier === null ? EMPTY : tables.beside(place, earlier);
    const count = countChanged(tables.at(place), base, header);
    for (const snapshot of between) changed[snapshot] = (changed[snapshot] ?? 0) + count;
  }
}

/** As long as the longest table. */
const EMPTY = new Uint8Array(2 ** 21);

/** Most blocks of two tables are alike, and those the VM compares faster than this code. */
const BLOCK = 4096;

/**
 * How many clusters of the guest's disk two tables of one index show differently. A rewrite with the same content counts;
 * nothing that differs is missed.
 */
function countChanged(one: Uint8Array, other: Uint8Array, { clusterBytes, l2EntryBytes }: Header): number {
  const base = Buffer.from(other.buffer);
  const [view, baseView] = [viewOf(one), viewOf(other)];
  let changed = 0;
  for (let start = 0; start < clusterBytes; start += BLOCK) {
    const end = Math.min(start + BLOCK, clusterBytes);
    if (base.compare(one, start, end, start, end) === 0) continue;
    for (let at = start; at < end; at += l2EntryBytes)
      if (entriesDiffer(view, baseView, at, l2EntryBytes)) changed++;
  }
  return changed;
}

/** Bit 63 says who else refers to the cluster, and nothing of what is in it. */
function entriesDiffer(one: DataView, other: DataView, at: number, bytes: number): boolean {
  if (((one.getInt32(at) ^ other.getInt32(at)) & 0x7fff_ffff) !== 0) return true;
  for (let i = at + 4; i < at + bytes; i += 4) if (one.getInt32(i) !== other.getInt32(i)) return true;
  return false;
}
