/** A bitmap with one bit for each cluster, 32 in a word. */

export type Bitmap = Int32Array;

/** An empty bitmap for so many clusters. */
export const bitmap = (clusters: number): Bitmap => new Int32Array(Math.ceil(clusters / 32));

/** Adds a cluster. */
export function setBit(map: Bitmap, cluster: number): void {
  map[cluster >>> 5] = (map[cluster >>> 5] ?? 0) | (1 << (cluster & 31));
}

/** Sets the bits of the clusters from `start` up to, not including, `end`. */
export function setBits(map: Bitmap, start: number, end: number): void {
  for (let cluster = start; cluster < end; ) {
    if ((cluster & 31) === 0 && end - cluster >= 32) {
      const whole = end >>> 5;
      map.fill(-1, cluster >>> 5, whole);
      cluster = whole << 5;
    } else {
      setBit(map, cluster++);
    }
  }
}

/** Whether it contains a cluster. */
export function hasBit(map: Bitmap, cluster: number): boolean {
  return ((map[cluster >>> 5] ?? 0) & (1 << (cluster & 31))) !== 0;
}

/** The number of bits that are set in a word. */
export function ones(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555);
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The position of the lowest bit that is set; at least one must be set. */
export const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);
