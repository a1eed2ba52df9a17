import { type Bitmap, bitmap, hasBit, setBit } from './bitmap.ts';
import { asAnswer, bytesAt, type ImageBytes, Unmeasurable, type Unmeasured, viewOf } from './bytes.ts';
import { type Clusters, openClusters } from './clusters.ts';
import { type Header, readHeader } from './header.ts';
import { type FileBlocks, type HostData, hostData } from './host-data.ts';
import { COMPRESSED } from './l2-entries.ts';
import { readL1 } from './l2-tables.ts';
import { type Mapped, type Range, SUBCLUSTERS, visitRanges } from './mapped-ranges.ts';
import { countedClusters, readRefcounts } from './refcounts.ts';
import type { Space } from './survey.ts';

/**
 * How much an image grows if its overlays are merged into it (`qemu-img commit`, or libvirt's deletion of an external
 * snapshot), calculated from the metadata of all of them. Nothing is written, and no data of the guest is read.
 */

/** The image below. */
export interface Base {
  readonly image: ImageBytes;
  readonly format: 'qcow2' | 'raw';
  readonly blocks: FileBlocks;
}

export type MergeSpace =
  | {
      readonly kind: 'measured';
      /** The clusters that the overlays use in their files. */
      readonly overlayBytes: number;
      readonly growth: Space;
      /**
       * True if the result is an estimate: an overlay contains parts that are zeros, which QEMU versions merge
       * differently; or it has parts that are smaller than what QEMU copies at once; or the overlays have parts of
       * different sizes.
       */
      readonly approximate: boolean;
    }
  | Unmeasured;

/** Measures how merging these consecutive overlays changes their backing file. */
export async function readMerge(overlays: readonly ImageBytes[], base: Base): Promise<MergeSpace> {
  try {
    return await measure(overlays.map(openMapped), base);
  } catch (error) {
    return asAnswer(error);
  }
}

/** The most units that are handled; more would need over 512 MiB of memory. */
const MOST_UNITS = 2 ** 30;

function openMapped(image: ImageBytes): Mapped {
  const header = readHeader(image);
  const clusters = countedClusters(image, header);
  if (clusters > MOST_UNITS) throw new Unmeasurable('too-large', `it has ${image.size} bytes`);
  if (header.snapshots.count > 0)
    throw new Unmeasurable('feature', `it contains ${header.snapshots.count} internal snapshots itself`);
  return { image, header, clusters };
}

async function measure(overlays: readonly Mapped[], base: Base): Promise<MergeSpace> {
  const diskBytes = Math.max(...overlays.map(({ header }) => header.virtualBytes));
  const ground = await (base.format === 'raw' ? rawGround(base, diskBytes) : qcow2Ground(base));
  const units = Math.ceil(diskBytes / ground.unitBytes);
  if (units > MOST_UNITS) throw new Unmeasurable('too-large', `its disk has ${diskBytes} bytes`);
  const growth = startGrowth(ground, units);
  let approximate = isUneven(overlays.map(({ header }) => header));
  let overlayBytes = 0;
  for (const overlay of overlays) {
    await visitRanges(overlay, {
      data: growth.write,
      zeros: () => {
        approximate = true;
      },
    });
    overlayBytes += await usedBytes(overlay);
  }
  return { kind: 'measured', overlayBytes, growth: growth.sum(), approximate };
}

/** For the overlay in use; smaller for an overlay below it (block/mirror.c, block/commit.c). */
const COPIED_AT_ONCE = 65_536;

/** If overlays are merged one after the other, the parts of one become clusters of the next. */
const isUneven = ([first, ...others]: readonly Header[]): boolean =>
  first === undefined ||
  grain(first) < COPIED_AT_ONCE ||
  others.some((header) => grain(header) !== grain(first));

/** The size in bytes of the smallest part of the disk that an image can hold separately. */
const grain = ({ clusterBytes, l2EntryBytes }: Header): number =>
  l2EntryBytes === 16 ? clusterBytes / SUBCLUSTERS : clusterBytes;

async function usedBytes({ image, header, clusters }: Mapped): Promise<number> {
  let used = 0;
  for (const count of await readRefcounts(image, header, clusters)) if (count !== 0) used++;
  return used * header.clusterBytes;
}

/** An image to be written to, in units of its disk: clusters or parts of clusters. */
interface Ground {
  readonly unitBytes: number;
  readonly unitsPerCluster: number;
  readonly clusterBytes: number;
  /** Bytes that are written for a unit in a new place: the whole cluster, not only the unit. */
  readonly fillsClusters: boolean;
  /** The number of units that one L2 table maps. */
  readonly unitsPerTable: number;
  /** Where a unit can be overwritten in the file, in units of the file; null if it needs a new place. */
  place(unit: number): number | null;
  /** Whether the table of that index must be made or copied before anything in it can be written. */
  lacksTable(index: number): boolean;
  readonly host: HostData;
}

/** The block size of a file system, but large enough to limit the number of units. */
const BLOCK = 4096;
const MOST_RAW_UNITS = 2 ** 26;

/** In a raw file everything has its place; only holes are filled. */
async function rawGround({ image, blocks }: Base, diskBytes: number): Promise<Ground> {
  const unitBytes = Math.max(BLOCK, 2 ** Math.ceil(Math.log2(diskBytes / MOST_RAW_UNITS)));
  return {
    unitBytes,
    clusterBytes: unitBytes,
    unitsPerCluster: 1,
    fillsClusters: true,
    unitsPerTable: Number.POSITIVE_INFINITY,
    place: (unit) => unit,
    lacksTable: () => false,
    host: await hostData(unitBytes, Math.ceil(Math.max(image.size, diskBytes) / unitBytes), blocks),
  };
}

async function qcow2Ground({ image, blocks }: Base): Promise<Ground> {
  const header = readHeader(image);
  const { clusterBytes, l2EntryBytes } = header;
  const clusters = countedClusters(image, header);
  const unitBytes = Math.min(grain(header), COPIED_AT_ONCE);
  const unitsPerCluster = clusterBytes / unitBytes;
  const entries = clusterBytes / l2EntryBytes;
  const l1 = readL1(image, header, clusters, header.l1, 'the image below');
  const tables = openClusters(
    image,
    clusterBytes,
    Array.from(l1, (cluster) => cluster * clusterBytes),
  );
  const owned = ownTables(image, header, l1);
  return {
    unitBytes,
    clusterBytes,
    unitsPerCluster,
    fillsClusters: l2EntryBytes === 8,
    unitsPerTable: entries * unitsPerCluster,
    place(unit) {
      const cluster = Math.floor(unit / unitsPerCluster);
      const index = Math.floor(cluster / entries);
      if (!l1[index]) return null;
      const offset = ownOffset(tables, index, (cluster % entries) * l2EntryBytes);
      return offset === null ? null : offset / unitBytes + (unit % unitsPerCluster);
    },
    lacksTable: (index) => !owned[index],
    host: await hostData(unitBytes, clusters * unitsPerCluster, blocks),
  };
}

/** Bit 63 of an entry: nothing else refers to this cluster, so it can be overwritten in place. */
const COPIED = 1 << 31;

function ownTables(image: ImageBytes, { l1: { offset } }: Header, l1: Uint32Array): boolean[] {
  const view = bytesAt(image, offset, l1.length * 8);
  return Array.from(l1, (cluster, index) => cluster !== 0 && (view.getInt32(index * 8) & COPIED) !== 0);
}

function ownOffset(tables: Clusters, index: number, at: number): number | null {
  const table = viewOf(tables.at(index));
  const [high, low] = [table.getInt32(at), table.getUint32(at + 4)];
  if (!(high & COPIED) || high & COMPRESSED) return null;
  const offset = (high & 0xff_ffff) * 2 ** 32 + (low - (low % 512));
  return offset === 0 ? null : offset;
}

/** Counts each unit and each table once, however often it is written. */
function startGrowth(ground: Ground, units: number) {
  const { unitBytes, unitsPerCluster, unitsPerTable, clusterBytes } = ground;
  const written: Bitmap = bitmap(units);
  const clusters: Bitmap = unitsPerCluster === 1 ? written : bitmap(Math.ceil(units / unitsPerCluster));
  const tables = new Set<number>();
  let [newClusters, hostBytes] = [0, 0];
  const addTable = (index: number) => {
    if (!ground.lacksTable(index) || tables.has(index)) return;
    tables.add(index);
    newClusters++;
    hostBytes += clusterBytes;
  };
  const addUnit = (unit: number) => {
    const place = ground.place(unit);
    const cluster = Math.floor(unit / unitsPerCluster);
    const isNew = place === null && !hasBit(clusters, cluster);
    setBit(clusters, cluster);
    setBit(written, unit);
    if (isNew) newClusters++;
    if (place !== null) hostBytes += unitBytes - ground.host.in(place);
    else if (!ground.fillsClusters) hostBytes += unitBytes;
    else if (isNew) hostBytes += clusterBytes;
  };
  return {
    write({ start, end }: Range): void {
      const last = Math.ceil(end / unitBytes);
      for (let unit = Math.floor(start / unitBytes); unit < last; unit++) {
        if (hasBit(written, unit)) continue;
        addTable(Math.floor(unit / unitsPerTable));
        addUnit(unit);
      }
    },
    sum: (): Space => ({ clusterBytes: newClusters * clusterBytes, hostBytes }),
  };
}
