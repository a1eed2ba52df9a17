import { bytesAt, type ImageBytes, uint64, viewOf } from './bytes.ts';
import { openClusters } from './clusters.ts';
import { type Header, readHeader } from './header.ts';
import { countsPerBlock, unpack } from './refcounts.ts';

/** Whether anything can be added to an image that cannot grow over the end of its device or file. */

/** A refcount table counts a block by so many bytes of the table. */
const ENTRY_BYTES = 8;

/**
 * How many clusters below `endBytes` nothing refers to, counted from the end until there are `enough`. Throws Unmeasurable
 * for what is no image that QEMU would write to.
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
    // the block itself takes a cluster when it is needed
    spare += offset === 0 ? counted - 1 : zeros(image, header, offset, counted);
  }
  return spare;
}

function zeros(image: ImageBytes, header: Header, offset: number, counted: number): number {
  const counts = new Uint32Array(counted);
  unpack(viewOf(openClusters(image, header.clusterBytes, [offset]).at(0)), header.refcountOrder, counts);
  return counts.filter((count) => count === 0).length;
}

/** Clusters that QEMU takes for one more snapshot (qcow2_snapshot_create): a copy of the L1 table, and the table of all snapshots. */
export function snapshotClusters(image: ImageBytes): number {
  const { l1, clusterBytes } = readHeader(image);
  return Math.ceil((l1.entries * ENTRY_BYTES) / clusterBytes) + TABLE_CLUSTERS;
}

/** For a snapshot to go (qcow2_snapshot_delete), the table of those that stay is written anew before the old one is given up. */
export const TABLE_CLUSTERS = 1;
