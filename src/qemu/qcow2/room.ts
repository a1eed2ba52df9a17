import { bytesAt, type ImageBytes, uint64, viewOf } from './bytes.ts';
import { openClusters } from './clusters.ts';
import { type Header, readHeader } from './header.ts';
import { countsPerBlock, unpack } from './refcounts.ts';

/** Finds out whether anything can be added to an image whose file or device cannot grow. */

/** The bytes of one entry of a refcount table. */
const ENTRY_BYTES = 8;

/**
 * How many clusters below `endBytes` are free, counted from the end until there are `enough`. Throws Unmeasurable for
 * an image to which QEMU would not write.
 */
export function spareClusters(image: ImageBytes, endBytes: number, enough: number): number {
  const header = readHeader(image);
  const perBlock = countsPerBlock(header);
  const end = Math.floor(endBytes / header.clusterBytes);
  const table = bytesAt(image, header.refcountTable.offset, header.refcountTable.entries * ENTRY_BYTES);
  let spare = 0;
  for (let block = Math.ceil(end / perBlock) - 1; block >= 0 && spare < enough; block--) {
    const counted = Math.min(perBlock, end - block * perBlock);
    const offset = block < header.refcountTable.entries ? uint64(table, block * ENTRY_BYTES) : 0;
    // a new refcount block itself needs a cluster
    spare += offset === 0 ? counted - 1 : zeros(image, header, offset, counted);
  }
  return spare;
}

function zeros(image: ImageBytes, header: Header, offset: number, counted: number): number {
  const counts = new Uint32Array(counted);
  unpack(viewOf(openClusters(image, header.clusterBytes, [offset]).at(0)), header.refcountOrder, counts);
  return counts.filter((count) => count === 0).length;
}

/**
 * The clusters that QEMU needs for another snapshot (qcow2_snapshot_create): a copy of the L1 table, and the table of
 * all snapshots.
 */
export function snapshotClusters(image: ImageBytes): number {
  const { l1, clusterBytes } = readHeader(image);
  return Math.ceil((l1.entries * ENTRY_BYTES) / clusterBytes) + TABLE_CLUSTERS;
}

/**
 * The clusters that QEMU needs to delete a snapshot (qcow2_snapshot_delete): it writes the table of the remaining
 * snapshots before it frees the old one.
 */
export const TABLE_CLUSTERS = 1;
