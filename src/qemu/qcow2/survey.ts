import type { Clusters } from './clusters.ts';
import type { Header } from './header.ts';
import type { HostData } from './host-data.ts';
import type { L2Tables } from './l2-tables.ts';

/** An image that is being measured, with its tables. */
export interface Survey {
  readonly header: Header;
  /** The number of clusters in the file to which anything may refer. */
  readonly clusters: number;
  readonly host: HostData;
  readonly tables: L2Tables;
  /** The L2 tables, by place. */
  readonly contents: Clusters;
}

/** The size of some clusters of the image. */
export interface Space {
  /** Their size. */
  readonly clusterBytes: number;
  /** The part for which the host's file system stores data, and which it gets back when the clusters become free. */
  readonly hostBytes: number;
}

/** Adds the other size, multiplied by a factor that may be negative. */
export function plus(space: Space, other: Space, times = 1): Space {
  return {
    clusterBytes: space.clusterBytes + other.clusterBytes * times,
    hostBytes: space.hostBytes + other.hostBytes * times,
  };
}

export const NOTHING: Space = { clusterBytes: 0, hostBytes: 0 };

/** The clusters from this one on that so many bytes need. */
export function spaceAt({ header: { clusterBytes }, host }: Survey, cluster: number, bytes: number): Space {
  const clusters = Math.ceil(bytes / clusterBytes);
  let hostBytes = 0;
  for (let i = 0; i < clusters; i++) hostBytes += host.in(cluster + i);
  return { clusterBytes: clusters * clusterBytes, hostBytes };
}
