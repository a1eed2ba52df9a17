import { bitmap, hasBit, lowestBit, ones, setBit, setBits } from './bitmap.ts';
import { createBreath } from './bytes.ts';

/** Where the file system really stores data for the image: preallocated clusters may be holes. */

/** Bytes from `start` up to, not including, `end`. */
export interface Extent {
  readonly start: number;
  readonly end: number;
}

export interface HostData {
  /** Bytes of data in that cluster of the file. */
  in(cluster: number): number;
  /** The same for up to 32 clusters: those in `bits`, counted from cluster 32 times `word`. */
  inWord(word: number, bits: number): number;
}

/** A file as its file system stores it. */
export interface FileBlocks {
  /** Bytes in the file. */
  readonly size: number;
  /** Where it has data, in ascending order and without overlaps. */
  readonly extents: Iterable<Extent>;
  /** All bytes that it occupies: more than its data if blocks are reserved and not written yet. Null: unknown. */
  readonly occupiedBytes: number | null;
}

/** The amount of work between two runs of the event loop. */
const EXTENTS_AT_ONCE = 4096;

/** For so many clusters, or other units of the file. */
export async function hostData(clusterBytes: number, clusters: number, file: FileBlocks): Promise<HostData> {
  const whole = bitmap(clusters);
  const partly = bitmap(clusters);
  const parts = new Map<number, number>();
  let [dataBytes, wholes] = [0, 0];
  const add = (cluster: number, bytes: number) => {
    const sum = (parts.get(cluster) ?? 0) + bytes;
    parts.set(cluster, sum);
    setBit(sum < clusterBytes ? partly : whole, cluster);
  };
  const breath = createBreath(EXTENTS_AT_ONCE);
  for (const { start, end } of file.extents) {
    const turn = breath(1);
    if (turn) await turn;
    dataBytes += end - start;
    const [first, last] = [Math.floor(start / clusterBytes), Math.floor(end / clusterBytes)];
    if (first >= clusters) continue;
    if (first === last) add(first, end - start);
    else {
      add(first, (first + 1) * clusterBytes - start);
      setBits(whole, first + 1, Math.min(last, clusters));
      wholes += Math.min(last, clusters) - first - 1;
      if (last < clusters && end > last * clusterBytes) add(last, end - last * clusterBytes);
    }
  }
  const emptyBytes = Math.max(0, file.size - (wholes + parts.size) * clusterBytes);
  const reserved = spread(
    Math.max(0, (file.occupiedBytes ?? 0) - dataBytes),
    parts,
    clusterBytes,
    emptyBytes,
  );
  for (const [cluster, bytes] of parts) parts.set(cluster, bytes + reserved.inPart(clusterBytes - bytes));
  return {
    in: (cluster) => (hasBit(whole, cluster) ? clusterBytes : (parts.get(cluster) ?? reserved.inEmpty)),
    inWord(word, bits) {
      const full = bits & (whole[word] ?? 0);
      const part = bits & (partly[word] ?? 0) & ~full;
      let bytes = ones(full) * clusterBytes + ones(bits & ~full & ~part) * reserved.inEmpty;
      for (let rest = part; rest !== 0; rest &= rest - 1)
        bytes += parts.get(word * 32 + lowestBit(rest)) ?? 0;
      return bytes;
    },
  };
}

/**
 * No portable call tells where blocks are reserved. QEMU reserves a whole new cluster even if less is written to it
 * (handle_alloc_space in block/qcow2.c). So reserved blocks are attributed first to clusters with some data, then to
 * clusters without data (preallocation=falloc), in proportion.
 */
function spread(
  reservedBytes: number,
  parts: ReadonlyMap<number, number>,
  clusterBytes: number,
  emptyBytes: number,
) {
  let holes = 0;
  for (const bytes of parts.values()) holes += clusterBytes - bytes;
  const ofHoles = share(reservedBytes, holes);
  const ofEmpty = share(reservedBytes - holes, emptyBytes);
  return {
    inPart: (hole: number) => Math.round(hole * ofHoles),
    inEmpty: Math.round(clusterBytes * ofEmpty),
  };
}

/**
 * Almost nothing counts as nothing, because a file has some blocks of its own, and almost everything counts as
 * everything.
 */
function share(bytes: number, of: number): number {
  const part = of === 0 ? 0 : Math.min(1, bytes / of);
  return part < 0.05 ? 0 : part > 0.95 ? 1 : part;
}
