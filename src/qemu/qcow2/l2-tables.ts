import {
  BREATH_BYTES,
  bytesAt,
  createBreath,
  damaged,
  type ImageBytes,
  offsetIn,
  Unmeasurable,
} from './bytes.ts';
import type { Header, Table } from './header.ts';
import type { InternalSnapshot } from './snapshot-table.ts';

/**
 * Finds all L2 tables, and which L1 tables list them. A snapshot's L1 table is a copy of the image's; both share the L2
 * tables until one side writes, so many snapshots have few tables.
 */

/** A snapshot with its L1 table. */
export interface Tree {
  readonly snapshot: InternalSnapshot;
  /** When it is deleted; 1 for the first. */
  readonly turn: number;
  /** By index in the L1 table, the place of the L2 table in `L2Tables.all` plus 1; 0 for none. */
  readonly l1: Uint32Array;
}

export interface L2Table {
  /** Its position in the file, in clusters. */
  readonly cluster: number;
  /** Its index in each L1 table that lists it. */
  readonly index: number;
  /** How many L1 tables list it; each reference in it counts that many times. */
  owners: number;
  /** The first and the last turn at which one of its owners is deleted; the image itself is never deleted. */
  first: number;
  last: number;
}

export interface L2Tables {
  readonly trees: readonly Tree[];
  readonly all: readonly L2Table[];
}

/** Limits for what is kept in memory: L1 entries (128 snapshots of 64 TiB) and distinct L2 tables (2 PiB). */
const MOST_L1_ENTRIES = 2 ** 24;
const MOST_TABLES = 2 ** 22;

/**
 * Reads all L1 tables. `turns`: by place of a snapshot. The tables are sorted by index, and those of one index by their
 * first turn. Tables that only the image lists are needed only if its refcounts cannot be trusted.
 */
export async function readL2Tables(
  image: ImageBytes,
  header: Header,
  clusters: number,
  snapshots: readonly InternalSnapshot[],
  turns: readonly number[],
): Promise<L2Tables> {
  const total = snapshots.reduce((sum, { l1 }) => sum + l1.entries, 0);
  if (total > MOST_L1_ENTRIES)
    throw new Unmeasurable('too-large', `its snapshots have ${total} entries in L1 tables`);
  const found = new Map<number, L2Table>();
  const trees: Tree[] = [];
  const breath = createBreath(BREATH_BYTES);
  for (const [place, snapshot] of snapshots.entries()) {
    const turn = turns[place] ?? 0;
    const l1 = readL1(image, header, clusters, snapshot.l1, `snapshot ${snapshot.id}`);
    enlist(found, l1, turn, true);
    trees.push({ snapshot, turn, l1 });
    await breath(l1.length * 8);
  }
  // damage in the image's own table does not matter for the snapshots, and the table may be changing at this moment
  enlist(found, readL1(image, header, clusters, header.l1, null), snapshots.length + 1, header.dirty);

  const all = [...found.values()].sort(
    (a, b) => a.index - b.index || a.first - b.first || a.cluster - b.cluster,
  );
  await breath(BREATH_BYTES);
  const places = new Map(all.map(({ cluster }, place) => [cluster, place]));
  for (const { l1 } of trees) {
    for (let i = 0; i < l1.length; i++) l1[i] = (places.get(l1[i] ?? 0) ?? -1) + 1;
    await breath(l1.length * 8);
  }
  await breath(BREATH_BYTES);
  return { trees, all };
}

/** Enters the tables of an L1 table; unknown ones only if `all`. */
function enlist(found: Map<number, L2Table>, l1: Uint32Array, turn: number, all: boolean): void {
  for (const [index, cluster] of l1.entries()) {
    const table = found.get(cluster);
    if (table) addOwner(table, index, turn);
    else if (cluster !== 0 && all) {
      if (found.size === MOST_TABLES)
        throw new Unmeasurable('too-large', `it has more than ${MOST_TABLES} L2 tables`);
      found.set(cluster, { cluster, index, owners: 1, first: turn, last: turn });
    }
  }
}

function addOwner(table: L2Table, index: number, turn: number): void {
  if (table.index !== index) throw damaged(`the L2 table at cluster ${table.cluster} has two places`);
  table.owners++;
  table.first = Math.min(table.first, turn);
  table.last = Math.max(table.last, turn);
}

/** The clusters of the L2 tables, 0 for none. `owner`: the name for errors; null to leave out wrong entries. */
export function readL1(
  image: ImageBytes,
  { clusterBytes }: Header,
  clusters: number,
  table: Table,
  owner: string | null,
): Uint32Array {
  if (owner !== null && table.offset + table.entries * 8 > clusters * clusterBytes)
    throw damaged(`${owner} has an L1 table beyond the end of the file`);
  // parts that are not in the file are zeros
  const entries = Math.max(0, Math.min(table.entries, Math.ceil((image.size - table.offset) / 8)));
  const view = bytesAt(image, table.offset, entries * 8);
  const l1 = new Uint32Array(entries);
  for (let index = 0; index < entries; index++) {
    const cluster = offsetIn(view, index * 8) / clusterBytes;
    if (Number.isInteger(cluster) && cluster < clusters) l1[index] = cluster;
    else if (owner !== null) throw damaged(`${owner} has an L2 table at offset ${cluster * clusterBytes}`);
  }
  return l1;
}
