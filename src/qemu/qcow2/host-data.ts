import { bitmap, hasBit, lowestBit, ones, setBit, setBits } from './bitmap.ts';

/** Where the file system really holds data for the image: preallocated clusters are nothing but holes. */

/** Bytes from `start` up to, not including, `end`. */
export interface Extent {
  readonly start: number;
  readonly end: number;
}

export interface HostData {
  /** Bytes of data in that cluster of the file. */
  in(cluster: number): number;
  /** The same of up to 32 clusters: those of `bits`, from cluster 32 times `word` on. */
  inWord(word: number, bits: number): number;
}

/** From extents of data in ascending order, which do not overlap. */
export function hostData(clusterBytes: number, clusters: number, extents: Iterable<Extent>): HostData {
  const whole = bitmap(clusters);
  const partly = bitmap(clusters);
  const parts = new Map<number, number>();
  const add = (cluster: number, bytes: number) => {
    const sum = (parts.get(cluster) ?? 0) + bytes;
    parts.set(cluster, sum);
    setBit(sum < clusterBytes ? partly : whole, cluster);
  };
  for (const { start, end } of extents) {
    const [first, last] = [Math.floor(start / clusterBytes), Math.floor(end / clusterBytes)];
    if (first >= clusters) continue;
    if (first === last) add(first, end - start);
    else {
      add(first, (first + 1) * clusterBytes - start);
      setBits(whole, first + 1, Math.min(last, clusters));
      if (last < clusters && end > last * clusterBytes) add(last, end - last * clusterBytes);
    }
  }
  return {
    in: (cluster) => (hasBit(whole, cluster) ? clusterBytes : (parts.get(cluster) ?? 0)),
    inWord(word, bits) {
      const full = bits & (whole[word] ?? 0);
      let bytes = ones(full) * clusterBytes;
      for (let rest = bits & (partly[word] ?? 0) & ~full; rest !== 0; rest &= rest - 1)
        bytes += parts.get(word * 32 + lowestBit(rest)) ?? 0;
      return bytes;
    },
  };
}
