import { damaged } from './bytes.ts';
import type { Header } from './header.ts';

/**
 * What an L2 table refers to. Source of the format: QEMU's docs/interop/qcow2.rst, "Cluster mapping" and "Extended L2
 * Entries". A cluster that reads as zeros may still occupy space in the file (preallocated), and a cluster with one
 * used subcluster occupies all of it, so both flags do not matter for the occupied space.
 */

/** Bit 62 of an entry, in its high word. */
export const COMPRESSED = 1 << 30;
const SECTOR = 512;

/** The most clusters of the file in which one compressed cluster can be stored, because its descriptor counts sectors. */
const MOST_PER_ENTRY = 3;

/** An array with room for the references of any table of that image. */
export function roomForReferences({ clusterBytes, l2EntryBytes }: Header): Uint32Array {
  return new Uint32Array((clusterBytes / l2EntryBytes) * MOST_PER_ENTRY);
}

/**
 * Finds the clusters of the file to which a table refers, each as often as it is referred to. `limit`: the number of
 * clusters in the file; references beyond it are damage, or left out if not `strict`. Returns how many it has put into
 * `found`.
 */
export function findReferences(
  table: DataView,
  { clusterBytes, l2EntryBytes }: Header,
  limit: number,
  strict: boolean,
  found: Uint32Array,
): number {
  // calculated with integers of 32 bits, which are several times faster; there are never 2^30 clusters
  const bits = 31 - Math.clz32(clusterBytes);
  const unaligned = (clusterBytes - 1) & -SECTOR;
  // most of a table is often empty; in any byte order, a number is 0 only if nothing is referred to
  const numbers = new Float64Array(table.buffer, table.byteOffset, clusterBytes / 8);
  const step = l2EntryBytes / 8;
  let count = 0;
  for (let i = 0; i < numbers.length; i += step) {
    if (numbers[i] === 0) continue;
    const high = table.getInt32(i * 8);
    const low = table.getInt32(i * 8 + 4);
    if (high & COMPRESSED) {
      count = addCompressed(high, low, clusterBytes, limit, strict, found, count);
      continue;
    }
    const offsetHigh = high & 0xff_ffff;
    if ((offsetHigh | (low & -SECTOR)) === 0) continue;
    const cluster = offsetHigh >>> (bits - 2) === 0 ? (offsetHigh << (32 - bits)) | (low >>> bits) : limit;
    if (cluster < limit && (low & unaligned) === 0) found[count++] = cluster;
    else if (strict) throw damaged(`it has data at offset ${offsetHigh * 2 ** 32 + (low >>> 0)}`);
  }
  return count;
}

/**
 * The low x bits of the entry are a byte offset, and bits x to 61 count the sectors after the first, with x = 62 -
 * (cluster bits - 8). Returns the new number of references.
 */
function addCompressed(
  high: number,
  low: number,
  clusterBytes: number,
  limit: number,
  strict: boolean,
  found: Uint32Array,
  count: number,
): number {
  // x - 32 bits of the high word belong to the offset: 2^30 * 256 / cluster
  const offsets = (COMPRESSED / clusterBytes) * 256;
  const descriptor = high & (COMPRESSED - 1);
  const offset = (descriptor % offsets) * 2 ** 32 + (low >>> 0);
  const sectors = Math.floor(offset / SECTOR) + Math.floor(descriptor / offsets) + 1;
  const end = Math.ceil((sectors * SECTOR) / clusterBytes);
  if (end > limit) {
    if (strict) throw damaged(`it has compressed data up to cluster ${end}`);
    return count;
  }
  let next = count;
  for (let cluster = Math.floor(offset / clusterBytes); cluster < end; cluster++) found[next++] = cluster;
  return next;
}
