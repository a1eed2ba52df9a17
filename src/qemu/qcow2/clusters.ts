import { fill, type ImageBytes } from './bytes.ts';

/** Clusters of an image by place in a list; those looked at last stay in memory. */
export interface Clusters {
  /** The bytes of the cluster at that place; to be used before the next ones are asked for. */
  at(place: number): Uint8Array;
  /** The same, which leaves those of another place as they are. */
  beside(other: number, place: number): Uint8Array;
}

/** Two that are compared lie near each other in the list. */
const KEPT = 16;
const KEPT_BYTES = 8 * 2 ** 20;

/** Reads the clusters at these offsets, each when it is asked for. */
export function openClusters(image: ImageBytes, clusterBytes: number, offsets: readonly number[]): Clusters {
  const slots = Math.max(2, Math.min(KEPT, KEPT_BYTES / clusterBytes, offsets.length));
  const newSlot = () => ({ place: -1, bytes: new Uint8Array(clusterBytes) });
  const kept = Array.from({ length: slots }, newSlot);
  const spare = newSlot();
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
