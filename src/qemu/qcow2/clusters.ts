import { fill, type ImageBytes } from './bytes.ts';

/** Reads clusters of an image by their place in a list; the last ones stay in memory. */
export interface Clusters {
  /** The bytes of the cluster at that place; valid until the next call. */
  at(place: number): Uint8Array;
  /** The same, but keeps the bytes of another place valid. */
  beside(other: number, place: number): Uint8Array;
}

/** Two clusters that are compared are near each other in the list. */
const KEPT = 16;
const KEPT_BYTES = 8 * 2 ** 20;

/** Reads the clusters at these offsets when they are requested. */
export function openClusters(image: ImageBytes, clusterBytes: number, offsets: readonly number[]): Clusters {
  const slots = Math.max(2, Math.min(KEPT, KEPT_BYTES / clusterBytes, offsets.length));
  const newSlot = () => ({ place: -1, bytes: new Uint8Array(clusterBytes) });
  const kept = Array.from({ length: slots }, newSlot);
  const spare = newSlot();
  image.expect?.(offsets, clusterBytes);
  const slotOf = (place: number) => kept[place % slots] ?? spare;
  const read = (place: number, slot: ReturnType<typeof newSlot>): Uint8Array => {
    if (slot.place !== place) {
      slot.place = -1;
      fill(image, offsets[place] ?? 0, slot.bytes);
      slot.place = place;
    }
    return slot.bytes;
  };
  return {
    at: (place) => read(place, slotOf(place)),
    beside: (other, place) => read(place, slotOf(other) === slotOf(place) ? spare : slotOf(place)),
  };
}
