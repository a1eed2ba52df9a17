import { BREATH_BYTES, bytesAt, createBreath, damaged, type ImageBytes, uint64, viewOf } from './bytes.ts';
import { openClusters } from './clusters.ts';
import type { Header } from './header.ts';

/** The reference count of each cluster of the file, as the image keeps it. */

/** By cluster. One of 32 bits that is `TOO_MANY` stands for that many or more. */
export type Refcounts = Uint8Array | Uint16Array | Uint32Array;

/** Counts of 64 bits are cut off here: no image has so many references. */
export const TOO_MANY = 2 ** 32 - 1;

/** Clusters whose counts one block holds; a block is one cluster. */
export const countsPerBlock = (header: Header): number =>
  (header.clusterBytes * 8) / 2 ** header.refcountOrder;

/**
 * Reads the counts of so many clusters: 1, 2 or 4 bytes of memory each, by the width that the image has. Memory is
 * touched only where there are counts: untouched zeros cost nothing, and a file can be very large and empty.
 */
export async function readRefcounts(image: ImageBytes, header: Header, clusters: number): Promise<Refcounts> {
  const { clusterBytes, refcountOrder: order } = header;
  const perBlock = countsPerBlock(header);
  const counts = newCounts(order, clusters);
  const blocks = readBlockOffsets(image, header, Math.ceil(clusters / perBlock));
  const reader = openClusters(
    image,
    clusterBytes,
    blocks.map(({ offset }) => offset),
  );
  const breath = createBreath(BREATH_BYTES);
  for (const [i, { index }] of blocks.entries()) {
    unpack(viewOf(reader.at(i)), order, counts.subarray(index * perBlock, (index + 1) * perBlock));
    await breath(clusterBytes);
  }
  return counts;
}

function newCounts(order: number, clusters: number): Refcounts {
  if (order <= 3) return new Uint8Array(clusters);
  return order === 4 ? new Uint16Array(clusters) : new Uint32Array(clusters);
}

function readBlockOffsets(image: ImageBytes, header: Header, atMost: number) {
  const entries = Math.min(header.refcountTable.entries, atMost);
  const view = bytesAt(image, header.refcountTable.offset, entries * 8);
  const seen = new Set<number>();
  const blocks: { readonly index: number; readonly offset: number }[] = [];
  for (let index = 0; index < entries; index++) {
    const offset = uint64(view, index * 8);
    if (offset < 512) continue;
    if (offset % header.clusterBytes !== 0 || offset >= image.size || seen.has(offset))
      throw damaged(`a refcount block at offset ${offset}`);
    seen.add(offset);
    blocks.push({ index, offset });
  }
  return blocks;
}

function unpack(view: DataView, order: number, into: Refcounts): void {
  const read = READERS[order] ?? readBits(2 ** order);
  for (let i = 0; i < into.length; i++) {
    const count = read(view, i);
    if (count !== 0) into[i] = count;
  }
}

const READERS: Readonly<Record<number, (view: DataView, i: number) => number>> = {
  3: (view, i) => view.getUint8(i),
  4: (view, i) => view.getUint16(i * 2),
  5: (view, i) => view.getUint32(i * 4),
  6: (view, i) => Math.min(uint64(view, i * 8), TOO_MANY),
};

/** Narrow ones start at the low bits of a byte. */
function readBits(bits: number): (view: DataView, i: number) => number {
  const perByte = 8 / bits;
  return (view, i) => (view.getUint8(Math.floor(i / perByte)) >> ((i % perByte) * bits)) & (2 ** bits - 1);
}
