import type { Clusters } from './clusters.ts';
import type { Header } from './header.ts';
import type { HostData } from './host-data.ts';
import type { L2Tables } from './l2-tables.ts';

/** An image under measurement, after its tables have been found. */
export interface Survey {
  readonly header: Header;
  /** Clusters of the file that anything may refer to. */
  readonly clusters: number;
  readonly host: HostData;
  readonly tables: L2Tables;
  /** The L2 tables, by place. */
  readonly contents: Clusters;
}

/** Some clusters of the image. */
export interface Space {
  /** Their size. */
  readonly clusterBytes: number;
  /** The part of it that the host's file system has data for: what it gets back when they become free. */
  readonly hostBytes: number;
}

/** Both together; the other may be taken several times, or away. */
export function plus(space: Space, other: Space, times = 1): Space {
  return {
    clusterBytes: space.clusterBytes + other.clusterBytes * times,
    hostBytes: space.hostBytes + other.hostBytes * times,
  };
}

export const NOTHING: Space = { clusterBytes: 0, hostBytes: 0 };

/** The clusters of the file from one on, as many as so many bytes need. */
export function spaceAt({ header: { clusterBytes }, host }: Survey, cluster: number, bytes: number): Space {
  const clusters = Math.ceil(bytes / clusterBytes);
  let hostBytes = 0;
  for (let i = 0; i < clusters; i++) hostBytes += host.in(cluster + i);
  return { clusterBytes: clusters * clusterBytes, hostBytes };
}
