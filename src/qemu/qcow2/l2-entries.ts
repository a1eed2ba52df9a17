import { damaged, offsetIn } from './bytes.ts';
import type { Header } from './header.ts';
import type { Cluster } from './read-ahead.ts';

/**
 * What an L2 table refers to. Source of the format: QEMU's docs/interop/qcow2.rst, "Cluster mapping" and "Extended L2
 * Entries". A cluster that reads as zeros may have its place in the file still (preallocated), and one of which only a
 * subcluster is used has all of it: neither flag matters to what is occupied.
 */

const COMPRESSED = 1 << 30;
const SECTOR = 512;

/**
 * Calls `visit` with the clusters of the file, of which there are so many, that the table refers to, once for each reference. `strict`: throws for
 * a reference to elsewhere; else leaves it out.
 */
export function eachReference(
  table: Cluster,
  header: Header,
  clusters: number,
  strict: boolean,
  visit: (cluster: number) => void,
): void {
  const { view, words } = table;
  const { clusterBytes, l2EntryBytes } = header;
  const stride = l2EntryBytes / 4;
  for (let word = 0; word < words.length; word += stride) {
    if ((words[word] as number) === 0 && (words[word + 1] as number) === 0) continue;
    if (view.getUint32(word * 4) & COMPRESSED) {
      const [start, end] = compressedRange(view, word * 4, clusterBytes);
      if (end <= clusters) for (let cluster = start; cluster < end; cluster++) visit(cluster);
      else if (strict) throw damaged(`compressed data up to cluster ${end}`);
      continue;
    }
    const offset = offsetIn(view, word * 4);
    if (offset === 0) continue;
    const cluster = offset / clusterBytes;
    if (cluster < clusters && Number.isInteger(cluster)) visit(cluster);
    else if (strict) throw damaged(`data at offset ${offset}`);
  }
}

/**
 * The clusters of the file, from the first up to, not including, the last, that a compressed cluster lies in: the low x bits
 * of the entry are a byte offset, those from x to 61 count the sectors after the first, with x = 62 - (cluster bits - 8).
 */
function compressedRange(view: DataView, at: number, clusterBytes: number): [number, number] {
  const high = view.getUint32(at) & (COMPRESSED - 1);
  // x - 32 bits of the high word belong to the offset: 2^30 * 256 / cluster
  const offsetBits = (COMPRESSED / clusterBytes) * 256;
  const offset = (high % offsetBits) * 2 ** 32 + view.getUint32(at + 4);
  const sectors = Math.floor(offset / SECTOR) + Math.floor(high / offsetBits) + 1;
  return [Math.floor(offset / clusterBytes), Math.ceil((sectors * SECTOR) / clusterBytes)];
}

/**
 * How many clusters of the guest's disk two tables of one index show differently. A rewrite with the same content counts, nothing that differs is missed. Null for no table: nothing is allocated.
 */
export function countChanged(one: Cluster, other: Cluster | null, header: Header): number {
  const stride = header.l2EntryBytes / 4;
  let changed = 0;
  for (let word = 0; word < one.words.length; word += stride)
    for (let i = word; i < word + stride; i++)
      if (one.words[i] !== (other ? other.words[i] : 0) && !(i === word && differInCopied(one, other, i))) {
        changed++;
        break;
      }
  return changed;
}

/** Nothing but bit 63 of the entry, which says who else refers to the cluster and nothing of what is in it. */
function differInCopied(one: Cluster, other: Cluster | null, word: number): boolean {
  return ((one.view.getUint32(word * 4) ^ (other?.view.getUint32(word * 4) ?? 0)) & 0x7fff_ffff) === 0;
}
