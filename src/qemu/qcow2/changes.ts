import { createBreath, viewOf } from './bytes.ts';
import type { Clusters } from './clusters.ts';
import type { Header } from './header.ts';
import type { Tree } from './l2-tables.ts';

/**
 * Finds the differences between snapshots. Only different L2 tables are compared, and two tables are compared only
 * once.
 */

interface Comparison {
  /** The places of the later and the earlier L2 table; null for no table. */
  readonly later: number;
  readonly earlier: number | null;
  /** The snapshots, by place, that differ in these two tables from the snapshot with which they are compared. */
  readonly between: number[];
}

/** By the place of the later table, because both tables have been read then. */
export type Comparisons = ReadonlyMap<number, readonly Comparison[]>;

/** The amount of work between two runs of the event loop. */
const ENTRIES_AT_ONCE = 4096;

/** Decides which tables to compare. `since`: by place of a snapshot, the place of the snapshot to compare it with. */
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

/** The number of L1 entries for the disk; later entries map the saved memory. */
const diskEntries = (tree: Tree | undefined): number =>
  tree ? Math.min(tree.l1.length, tree.snapshot.vmStateIndex) : 0;

/** The place of the table plus 1; 0 for none. */
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

/** The length of the longest table. */
const EMPTY = new Uint8Array(2 ** 21);

/** Bytes of a block. Most blocks of two tables are equal, and comparing equal memory natively is faster than this code. */
const BLOCK = 4096;

/**
 * The number of clusters of the guest's disk in which two tables of one index differ. A rewrite with the same content
 * counts as a difference; no difference is missed.
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

/** Bit 63 tells whether something else refers to the cluster, and nothing about its content. */
function entriesDiffer(one: DataView, other: DataView, at: number, bytes: number): boolean {
  if (((one.getInt32(at) ^ other.getInt32(at)) & 0x7fff_ffff) !== 0) return true;
  for (let i = at + 4; i < at + bytes; i += 4) if (one.getInt32(i) !== other.getInt32(i)) return true;
  return false;
}
