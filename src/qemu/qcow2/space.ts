import {
  asAnswer,
  BREATH_BYTES,
  createBreath,
  type ImageBytes,
  Unmeasurable,
  type Unmeasured,
} from './bytes.ts';
import { type Comparisons, compareTables, planComparisons } from './changes.ts';
import { openClusters } from './clusters.ts';
import { type FreedByTurn, type SumsByTurn, sumFreed } from './freed.ts';
import { type Header, readHeader } from './header.ts';
import { spaceFrom } from './holdings.ts';
import { type FileBlocks, hostData } from './host-data.ts';
import { readL2Tables } from './l2-tables.ts';
import { closeGroup, createLedger, enterCluster, enterTable, type Ledger } from './ledger.ts';
import { findOverlaps } from './overlaps.ts';
import { countedClusters, readRefcounts } from './refcounts.ts';
import {
  type InternalSnapshot,
  readSnapshotTable,
  rewrittenTable,
  type SnapshotTable,
} from './snapshot-table.ts';
import { NOTHING, plus, type Space, type Survey, spaceAt } from './survey.ts';

/**
 * What each snapshot inside a qcow2 image costs, calculated from the image's metadata. Nothing is written, and no data
 * of the guest is read.
 */

export interface SnapshotSpace {
  /** The id, which is unique in the image; the name is not. */
  readonly id: string;
  readonly name: string;
  /** What becomes free if only this snapshot is deleted. */
  readonly frees: Space;
  /** What becomes free if it is deleted together with all snapshots before it in the requested order. */
  readonly freesTogether: Space;
  /** Everything that it refers to, including its own tables. */
  readonly holds: Space;
  /** The part of that for the saved memory of the guest. */
  readonly vmState: Space;
  /**
   * Bytes of the disk, in whole clusters, that differ from the snapshot with which it was compared; null if there was
   * none.
   */
  readonly changedBytes: number | null;
}

export type ImageSpace =
  /** In the order of the image's snapshot table. */
  { readonly kind: 'measured'; readonly snapshots: readonly SnapshotSpace[] } | Unmeasured;

export interface SpaceQuestion {
  /**
   * Ids in the order of deletion, for `freesTogether`. The other snapshots follow in the order of the table; unknown
   * ids are ignored.
   */
  readonly order?: readonly string[];
  /** By a snapshot's id, the id of the snapshot to compare it with: its parent. */
  readonly since?: ReadonlyMap<string, string>;
  /** Where the file has data. Without it, the whole file counts as data. */
  readonly blocks?: FileBlocks;
}

/** The number of clusters of 64 KiB in a file of 64 TiB. Each cluster in use needs 5 bytes of memory. */
const MOST_CLUSTERS = 2 ** 30;
/** The largest number of turns that fits into 16 bits together with one more. */
const MOST_SNAPSHOTS = 65_000;
const TRIES = 3;

/**
 * Measures all snapshots of an image. The result is exact for an image at rest. While a guest writes to it, `frees` may
 * be too small by what QEMU has not flushed yet. A problem with the image is returned; only errors of its port are
 * thrown.
 */
export async function readSpace(image: ImageBytes, question: SpaceQuestion = {}): Promise<ImageSpace> {
  try {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const before = outlineOf(image);
      const answer = await measure(image, before, question).catch(asAnswer);
      // if snapshots were added or removed meanwhile, what was read does not belong to one state of the image
      if (JSON.stringify(before) === JSON.stringify(outlineOf(image))) return answer;
    }
    throw new Unmeasurable('changing', 'its snapshots change while it is read');
  } catch (error) {
    return asAnswer(error);
  }
}

interface Outline {
  readonly header: Header;
  readonly table: SnapshotTable;
}

function outlineOf(image: ImageBytes): Outline {
  const header = readHeader(image);
  return { header, table: readSnapshotTable(image, header) };
}

async function measure(image: ImageBytes, outline: Outline, question: SpaceQuestion): Promise<ImageSpace> {
  const { header, table } = outline;
  const { snapshots } = table;
  if (snapshots.length === 0) return { kind: 'measured', snapshots: [] };
  if (snapshots.length > MOST_SNAPSHOTS)
    throw new Unmeasurable('too-large', `it has ${snapshots.length} snapshots`);
  const clusters = countedClusters(image, header);
  if (clusters > MOST_CLUSTERS) throw new Unmeasurable('too-large', `it has ${image.size} bytes`);

  // the counts are read first, so that they are too high and never too low if a guest writes meanwhile
  const left = header.dirty ? null : await readRefcounts(image, header, clusters);
  const turns = turnsOf(snapshots, question.order ?? []);
  const tables = await readL2Tables(image, header, clusters, snapshots, turns);
  const survey: Survey = {
    header,
    clusters,
    tables,
    host: await hostData(header.clusterBytes, clusters, question.blocks ?? allData(image)),
    contents: openClusters(
      image,
      header.clusterBytes,
      tables.all.map(({ cluster }) => cluster * header.clusterBytes),
    ),
  };
  const ledger = createLedger(header, clusters, snapshots.length + 1, left);
  await enterMetadata(ledger, survey);
  const since = placesSince(snapshots, question.since ?? new Map());
  const changed = new Float64Array(snapshots.length);
  const spaces = await enterTables(ledger, survey, await planComparisons(tables.trees, since), changed);
  const overlaps = await findOverlaps(ledger.repeated, survey);
  const freed = spacesFreed(await sumFreed(ledger, survey), table, turns, header);
  return {
    kind: 'measured',
    snapshots: tables.trees.map((tree, place) => ({
      id: tree.snapshot.id,
      name: tree.snapshot.name,
      frees: freed.alone[place] ?? NOTHING,
      freesTogether: freed.together[place] ?? NOTHING,
      holds: plus(l1Space(tree.snapshot, survey), spaceFrom(0, tree, survey, spaces, overlaps)),
      vmState: spaceFrom(tree.snapshot.vmStateIndex, tree, survey, spaces, overlaps),
      changedBytes: since.has(place) ? (changed[place] ?? 0) * header.clusterBytes : null,
    })),
  };
}

const allData = ({ size }: ImageBytes): FileBlocks => ({
  size,
  extents: [{ start: 0, end: size }],
  occupiedBytes: null,
});

/** By place of a snapshot, its turn; 1 for the first to be deleted. */
function turnsOf(snapshots: readonly InternalSnapshot[], order: readonly string[]): number[] {
  const ids = new Set([...order, ...snapshots.map(({ id }) => id)]);
  const known = new Set(snapshots.map(({ id }) => id));
  if (known.size < snapshots.length) throw new Unmeasurable('damaged', 'two of its snapshots have one id');
  const turns = new Map([...ids].filter((id) => known.has(id)).map((id, i) => [id, i + 1]));
  return snapshots.map(({ id }) => turns.get(id) ?? 0);
}

/** The requested ids as places in the table. */
function placesSince(
  snapshots: readonly InternalSnapshot[],
  since: ReadonlyMap<string, string>,
): Map<number, number> {
  const places = new Map(snapshots.map(({ id }, place) => [id, place]));
  return new Map(
    snapshots.flatMap(({ id }, place) => {
      const earlier = places.get(since.get(id) ?? '');
      return since.has(id) && earlier !== undefined ? [[place, earlier] as const] : [];
    }),
  );
}

const l1Space = ({ l1 }: InternalSnapshot, survey: Survey): Space =>
  spaceAt(survey, l1.offset / survey.header.clusterBytes, l1.entries * 8);

/** The amount of work between two runs of the event loop. */
const TABLES_AT_ONCE = 2048;

/** The tables themselves occupy clusters too. */
async function enterMetadata(
  ledger: Ledger,
  { header: { clusterBytes }, tables: { trees, all } }: Survey,
): Promise<void> {
  for (const { snapshot, turn } of trees) {
    const start = snapshot.l1.offset / clusterBytes;
    const count = Math.ceil((snapshot.l1.entries * 8) / clusterBytes);
    for (let i = 0; i < count; i++) enterCluster(ledger, start + i, { owners: 1, first: turn, last: turn });
  }
  const breath = createBreath(TABLES_AT_ONCE);
  for (const table of all) {
    enterCluster(ledger, table.cluster, table);
    const turn = breath(1);
    if (turn) await turn;
  }
}

/** Reads each table once; returns the size for each table, by place, and adds to `changed`, by place of a snapshot. */
async function enterTables(
  ledger: Ledger,
  survey: Survey,
  comparisons: Comparisons,
  changed: Float64Array,
): Promise<Space[]> {
  const { all } = survey.tables;
  const breath = createBreath(BREATH_BYTES);
  const spaces: Space[] = [];
  for (const [place, table] of all.entries()) {
    if (place > 0 && table.index !== all[place - 1]?.index) closeGroup(ledger);
    const content = enterTable(ledger, survey, survey.contents.at(place), table);
    spaces.push(plus(content, spaceAt(survey, table.cluster, 1)));
    compareTables(comparisons, survey.contents, survey.header, place, changed);
    await breath(survey.header.clusterBytes);
  }
  closeGroup(ledger);
  return spaces;
}

/**
 * The results by place of a snapshot, including what the snapshot table shrinks by, because QEMU rewrites it with each
 * deletion.
 */
function spacesFreed(
  freed: FreedByTurn,
  { snapshots, bytes }: SnapshotTable,
  turns: readonly number[],
  header: Header,
) {
  const { clusterBytes } = header;
  const table = rewrittenTable(snapshots);
  const shrunk = () => Math.ceil(bytes / clusterBytes) - Math.ceil(table.bytes() / clusterBytes);
  const space = (sums: SumsByTurn, turn: number): Space => ({
    clusterBytes: (sums.clusters[turn] ?? 0) * clusterBytes,
    hostBytes: sums.hostBytes[turn] ?? 0,
  });
  const inTable = (): Space => ({ clusterBytes: shrunk() * clusterBytes, hostBytes: 0 });
  const alone = snapshots.map((_, place) => {
    table.delete(place);
    const sum = plus(space(freed.alone, turns[place] ?? 0), inTable());
    table.restore(place);
    return sum;
  });
  const together: Space[] = [];
  let sum = NOTHING;
  for (const place of turns.map((_, i) => i).sort((a, b) => (turns[a] ?? 0) - (turns[b] ?? 0))) {
    table.delete(place);
    sum = plus(sum, space(freed.inTurn, turns[place] ?? 0));
    together[place] = plus(sum, inTable());
  }
  return { alone, together };
}
