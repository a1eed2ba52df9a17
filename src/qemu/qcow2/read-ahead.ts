import { fill, type ImageBytes } from './bytes.ts';

/** Many clusters of an image, in a given order, read ahead of who looks at them and kept for a while after. */

/** One cluster; also as words of 32 bits for comparing, in whatever byte order this machine has. */
export interface Cluster {
  readonly view: DataView;
  readonly words: Int32Array;
}

export interface ReadAhead {
  /** The cluster at that place of the order. Ask in ascending order, or for one that was asked for before. */
  at(place: number): Promise<Cluster>;
}

/** All buffers together, and how many of them there are at most and at least. */
const MEMORY = 8 * 2 ** 20;
const MOST = 128;
const FEWEST = 6;

/** Reads clusters by their offsets. One that was asked for stays in memory while some others are asked for. */
export function readAhead(image: ImageBytes, clusterBytes: number, offsets: readonly number[]): ReadAhead {
  const count = offsets.length;
  const slots = Math.min(MOST, Math.max(FEWEST, Math.floor(MEMORY / clusterBytes)));
  const ahead = Math.floor(slots / 2);
  const ring = Array.from({ length: Math.min(slots, count) }, () => newCluster(clusterBytes));
  const arrivals: Promise<void>[] = [];
  let started = 0;
  let looked = -1;

  const start = (place: number) => {
    const { view } = ring[place % slots] as Cluster;
    const arrival = fill(image, offsets[place] ?? 0, new Uint8Array(view.buffer));
    // whoever waits for it hears of the failure; the others have been given up
    arrival.catch(() => {});
    arrivals[place % slots] = arrival;
  };

  return {
    async at(place) {
      looked = Math.max(looked, place);
      if (place + slots < looked + ahead + 1) {
        const again = newCluster(clusterBytes);
        await fill(image, offsets[place] ?? 0, new Uint8Array(again.view.buffer));
        return again;
      }
      for (; started < count && started <= looked + ahead - 1; started++) start(started);
      await arrivals[place % slots];
      return ring[place % slots] as Cluster;
    },
  };
}

function newCluster(bytes: number): Cluster {
  const buffer = new ArrayBuffer(bytes);
  return { view: new DataView(buffer), words: new Int32Array(buffer) };
}
