import { BREATH_BYTES, bytesAt, createBreath, damaged, type ImageBytes, uint64, viewOf } from './bytes.ts';
import { openClusters } from './clusters.ts';
import type { Header } from './header.ts';

/** The reference count of each cluster of the file, as the image keeps it. */

/** The counts by cluster. A count of 32 bits that is `TOO_MANY` stands for that many or more. */
export type Refcounts = Uint8Array | Uint16Array | Uint32Array;

/** The limit for counts of 64 bits: no image has so many references. */
export const TOO_MANY = 2 ** 32 - 1;

/** The number of clusters whose counts are in one block; a block is one cluster. */
export const countsPerBlock = (header: Header): number =>
  (header.clusterBytes * 8) / 2 ** header.refcountOrder;

/**
 * The number of clusters to which anything in the image may refer: those of the file, and those beyond its end that its
 * last refcount block counts, because the last clusters may be counted but never written.
 */
export const countedClusters = ({ size }: ImageBytes, header: Header): number =>
  Math.ceil(size / header.clusterBytes) + countsPerBlock(header);

/**
 * Reads the counts of so many clusters, with 1, 2 or 4 bytes of memory each, depending on the largest count. Only
 * memory with counts is touched: untouched zeros cost nothing, and a file can be very large and empty.
 */
export async function readRefcounts(image: ImageBytes, header: Header, clusters: number): Promise<Refcounts> {
  const blocks = readBlockOffsets(image, header, Math.ceil(clusters / countsPerBlock(header)));
  const narrow = new Uint8Array(clusters);
  if (await readInto(narrow, image, header, blocks)) return narrow;
  const wide = new Uint16Array(clusters);
  if (await readInto(wide, image, header, blocks)) return wide;
  const widest = new Uint32Array(clusters);
  await readInto(widest, image, header, blocks);
  return widest;
}

interface Block {
  /** The place of the block in the refcount table. */
  readonly index: number;
  readonly offset: number;
}

/** Returns false as soon as one does not fit. */
async function readInto(
  counts: Refcounts,
  image: ImageBytes,
  header: Header,
  blocks: readonly Block[],
): Promise<boolean> {
  const { clusterBytes, refcountOrder: order } = header;
  const perBlock = countsPerBlock(header);
  const most = 2 ** (counts.BYTES_PER_ELEMENT * 8) - 1;
  const reader = openClusters(
    image,
    clusterBytes,
    blocks.map(({ offset }) => offset),
  );
  const breath = createBreath(BREATH_BYTES);
  for (const [i, { index }] of blocks.entries()) {
    const into = counts.subarray(index * perBlock, (index + 1) * perBlock);
    if (unpack(viewOf(reader.at(i)), order, into) > most) return false;
    await breath(clusterBytes);
  }
  return true;
}

function readBlockOffsets(image: ImageBytes, header: Header, atMost: number): readonly Block[] {
  const entries = Math.min(header.refcountTable.entries, atMost);
  const view = bytesAt(image, header.refcountTable.offset, entries * 8);
  const seen = new Set<number>();
  const blocks: Block[] = [];
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

/** Writes the counts of a block into an array, as many as fit; returns the largest. */
export function unpack(view: DataView, order: number, into: Refcounts): number {
  const read = READERS[order] ?? readBits(2 ** order);
  let largest = 0;
  for (let i = 0; i < into.length; i++) {
    const count = read(view, i);
    if (count === 0) continue;
    into[i] = count;
    if (count > largest) largest = count;
  }
  return largest;
}

const READERS: Readonly<Record<number, (view: DataView, i: number) => number>> = {
  3: (view, i) => view.getUint8(i),
  4: (view, i) => view.getUint16(i * 2),
  5: (view, i) => view.getUint32(i * 4),
  6: (view, i) => Math.min(uint64(view, i * 8), TOO_MANY),
};

/** Counts of less than 8 bits start at the low bits of a byte. */
function readBits(bits: number): (view: DataView, i: number) => number {
  const perByte = 8 / bits;
  return (view, i) => (view.getUint8(Math.floor(i / perByte)) >> ((i % perByte) * bits)) & (2 ** bits - 1);
}
