import { type Bitmap, bitmap, ones, setBits } from './bitmap.ts';
import { damaged } from './bytes.ts';
import type { Header } from './header.ts';
import type { HostData } from './host-data.ts';
import { eachReference } from './l2-entries.ts';
import type { Cluster } from './read-ahead.ts';
import { type Refcounts, TOO_MANY } from './refcounts.ts';
import type { Space, Survey } from './survey.ts';

/**
 * What refers to each cluster of the file. A cluster is free when all that refers to it is gone: so a snapshot frees what
 * only it refers to, and a row of deletions frees a cluster at the last turn of those that refer to it.
 */
export interface Ledger {
  /** References not yet seen. Null when the image's own counts are not to be trusted: then those seen are all. */
  readonly left: Refcounts | null;
  /** The last turn at which an owner is deleted, by cluster; 0 for none. */
  readonly last: Uint8Array | Uint16Array;
  /** `never + 1` less the first turn at which an owner is deleted; 0 for none. */
  readonly first: Uint8Array | Uint16Array;
  /** The turn of the image itself. */
  readonly never: number;
  /** Clusters with an owner; those of the L2 tables in hand come in with `closeGroup`. */
  readonly owned: Bitmap;
  /** Clusters that tables of more than one index refer to: as one tree may, by packing compressed clusters. */
  readonly repeated: Bitmap;
  readonly scratch: Scratch;
}

/** The table in hand: the clusters it refers to, and the words of that bitmap that are not empty. */
interface Scratch {
  readonly here: Bitmap;
  readonly words: Int32Array;
  count: number;
  /** Words and their bits in turn, of the tables of the group so far. */
  readonly pending: number[];
}

/** Who refers to a cluster: so many trees, deleted from the first turn to the last. */
export interface Owners {
  readonly owners: number;
  readonly first: number;
  readonly last: number;
}

export function createLedger(
  header: Header,
  clusters: number,
  never: number,
  left: Refcounts | null,
): Ledger {
  const turns = () => (never < 255 ? new Uint8Array(clusters) : new Uint16Array(clusters));
  const entries = header.clusterBytes / header.l2EntryBytes;
  return {
    left,
    last: turns(),
    first: turns(),
    never,
    owned: bitmap(clusters),
    repeated: bitmap(clusters),
    scratch: {
      here: bitmap(clusters),
      words: new Int32Array(entries * MOST_PER_ENTRY),
      count: 0,
      pending: [],
    },
  };
}

/** A compressed cluster can lie in so many clusters of the file, as its descriptor counts sectors. */
const MOST_PER_ENTRY = 3;

/** Enters one reference to a cluster from a table of these owners. */
function enter(ledger: Ledger, cluster: number, { owners, first, last }: Owners): void {
  const { left, scratch, never } = ledger;
  if (left !== null) {
    const count = left[cluster] ?? 0;
    if (count < owners) throw damaged(`cluster ${cluster} has more references than its refcount says`);
    if (count !== TOO_MANY) left[cluster] = count - owners;
  }
  if ((ledger.last[cluster] ?? 0) < last) ledger.last[cluster] = last;
  if ((ledger.first[cluster] ?? 0) < never + 1 - first) ledger.first[cluster] = never + 1 - first;
  const word = cluster >>> 5;
  const bits = scratch.here[word] ?? 0;
  if (bits === 0) scratch.words[scratch.count++] = word;
  scratch.here[word] = bits | (1 << (cluster & 31));
}

/**
 * Enters what a table of these owners refers to; returns what that takes, each cluster counted once. In tables that no
 * snapshot owns, what is wrong is left out.
 */
export function enterTable(
  ledger: Ledger,
  { header, host, clusters }: Survey,
  table: Cluster,
  owners: Owners,
): Space {
  const strict = owners.first < ledger.never;
  eachReference(table, header, clusters, strict, (cluster) => enter(ledger, cluster, owners));
  return closeTable(ledger, header, host);
}

/** Enters a cluster of metadata. */
export function enterCluster(ledger: Ledger, cluster: number, owners: Owners): void {
  enter(ledger, cluster, owners);
  for (; ledger.scratch.count > 0; ledger.scratch.count--) ledger.scratch.here[cluster >>> 5] = 0;
  setBits(ledger.owned, cluster, cluster + 1);
}

function closeTable({ scratch, owned, repeated }: Ledger, header: Header, host: HostData): Space {
  let [clusters, hostBytes] = [0, 0];
  for (let i = 0; i < scratch.count; i++) {
    const word = scratch.words[i] ?? 0;
    const bits = scratch.here[word] ?? 0;
    scratch.here[word] = 0;
    const again = bits & (owned[word] ?? 0);
    if (again !== 0) repeated[word] = (repeated[word] ?? 0) | again;
    scratch.pending.push(word, bits);
    clusters += ones(bits);
    hostBytes += host.inWord(word, bits);
  }
  scratch.count = 0;
  return { clusterBytes: clusters * header.clusterBytes, hostBytes };
}

/** To call after the last table of an index: copies of one table refer to the same clusters, and no tree has two of them. */
export function closeGroup({ scratch, owned }: Ledger): void {
  const { pending } = scratch;
  for (let i = 0; i < pending.length; i += 2) {
    const word = pending[i] ?? 0;
    owned[word] = (owned[word] ?? 0) | (pending[i + 1] ?? 0);
  }
  pending.length = 0;
}
