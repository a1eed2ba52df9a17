import { type Bitmap, bitmap, ones, setBit } from './bitmap.ts';
import { damaged, viewOf } from './bytes.ts';
import type { Header } from './header.ts';
import type { HostData } from './host-data.ts';
import { findReferences, roomForReferences } from './l2-entries.ts';
import { type Refcounts, TOO_MANY } from './refcounts.ts';
import type { Space, Survey } from './survey.ts';

/**
 * Records what refers to each cluster of the file. A cluster becomes free when nothing refers to it any more. So a
 * snapshot frees the clusters to which only it refers, and a series of deletions frees a cluster at the last turn of
 * its owners.
 */
export interface Ledger {
  /**
   * The references that were not seen yet. Null if the image's own counts cannot be trusted; then the seen references
   * are assumed to be all.
   */
  readonly left: Refcounts | null;
  /** The last turn at which an owner is deleted, by cluster; 0 for none. */
  readonly last: Uint8Array | Uint16Array;
  /** Clusters whose owners are deleted at different turns. */
  readonly common: Bitmap;
  /** The turn of the image itself. */
  readonly never: number;
  /** Clusters with an owner; those of the tables of the present index are added by `closeGroup`. */
  readonly owned: Bitmap;
  /**
   * Clusters to which tables of different indexes refer, which is possible within one tree because compressed clusters
   * are packed.
   */
  readonly repeated: Bitmap;
  /** The clusters of the present table. */
  readonly references: Uint32Array;
  /** The same as a bitmap, with the list of its non-empty words; it is cleared between tables. */
  readonly here: Bitmap;
  readonly words: Int32Array;
  /** The clusters of the tables of this index so far: alternately the place of a word and its bits. */
  pending: Int32Array;
  pendingLength: number;
}

/** The owners of a cluster: the number of trees, and the first and last turn at which they are deleted. */
export interface Owners {
  readonly owners: number;
  readonly first: number;
  readonly last: number;
}

/** A ledger for so many clusters, without references. */
export function createLedger(
  header: Header,
  clusters: number,
  never: number,
  left: Refcounts | null,
): Ledger {
  const references = roomForReferences(header);
  return {
    left,
    last: never < 256 ? new Uint8Array(clusters) : new Uint16Array(clusters),
    common: bitmap(clusters),
    never,
    owned: bitmap(clusters),
    repeated: bitmap(clusters),
    references,
    here: bitmap(clusters),
    words: new Int32Array(references.length),
    pending: new Int32Array(2 ** 12),
    pendingLength: 0,
  };
}

/**
 * Enters the references of a table with these owners; returns their size, each cluster counted once. In tables that no
 * snapshot owns, wrong references are left out.
 */
export function enterTable(
  ledger: Ledger,
  { header, host, clusters }: Survey,
  table: Uint8Array,
  owners: Owners,
): Space {
  const strict = owners.first < ledger.never;
  const count = findReferences(viewOf(table), header, clusters, strict, ledger.references);
  enter(ledger, count, owners);
  return closeTable(ledger, count, header, host);
}

/** Enters a cluster of metadata. */
export function enterCluster(ledger: Ledger, cluster: number, owners: Owners): void {
  ledger.references[0] = cluster;
  enter(ledger, 1, owners);
  setBit(ledger.owned, cluster);
}

/** Enters the first references of the present table. */
function enter({ references, left, last, common }: Ledger, count: number, owners: Owners): void {
  if (left !== null) subtract(left, references, count, owners.owners);
  postpone(last, common, references, count, owners.last);
  if (owners.first !== owners.last) for (let i = 0; i < count; i++) setBit(common, references[i] ?? 0);
}

function subtract(left: Refcounts, references: Uint32Array, count: number, owners: number): void {
  for (let i = 0; i < count; i++) {
    const cluster = references[i] ?? 0;
    const had = left[cluster] ?? 0;
    if (had < owners) throw damaged(`cluster ${cluster} has more references than its refcount says`);
    if (had !== TOO_MANY) left[cluster] = had - owners;
  }
}

function postpone(
  last: Uint8Array | Uint16Array,
  common: Bitmap,
  references: Uint32Array,
  count: number,
  turn: number,
): void {
  for (let i = 0; i < count; i++) {
    const cluster = references[i] ?? 0;
    const before = last[cluster] ?? 0;
    if (before === turn) continue;
    if (before !== 0) setBit(common, cluster);
    if (before < turn) last[cluster] = turn;
  }
}

/** Counts each cluster once, and finds those that tables of another index share. */
function closeTable(ledger: Ledger, count: number, { clusterBytes }: Header, host: HostData): Space {
  const { here, words, owned, repeated } = ledger;
  const used = mark(here, words, ledger.references, count);
  const pending = roomForPending(ledger, used * 2);
  let [clusters, hostBytes] = [0, 0];
  for (let i = 0; i < used; i++) {
    const word = words[i] ?? 0;
    const bits = here[word] ?? 0;
    here[word] = 0;
    const again = bits & (owned[word] ?? 0);
    if (again !== 0) repeated[word] = (repeated[word] ?? 0) | again;
    pending[ledger.pendingLength++] = word;
    pending[ledger.pendingLength++] = bits;
    clusters += ones(bits);
    hostBytes += host.inWord(word, bits);
  }
  return { clusterBytes: clusters * clusterBytes, hostBytes };
}

/** Sets the bits of the present references; returns how many words of the bitmap are not empty, and which. */
function mark(here: Bitmap, words: Int32Array, references: Uint32Array, count: number): number {
  let used = 0;
  for (let i = 0; i < count; i++) {
    const cluster = references[i] ?? 0;
    const bits = here[cluster >>> 5] ?? 0;
    if (bits === 0) words[used++] = cluster >>> 5;
    here[cluster >>> 5] = bits | (1 << (cluster & 31));
  }
  return used;
}

function roomForPending(ledger: Ledger, more: number): Int32Array {
  const { pending, pendingLength } = ledger;
  if (pendingLength + more <= pending.length) return pending;
  ledger.pending = new Int32Array((pendingLength + more) * 2);
  ledger.pending.set(pending);
  return ledger.pending;
}

/** Must be called after the last table of an index. No tree contains clusters twice that these tables share. */
export function closeGroup(ledger: Ledger): void {
  const { pending, owned } = ledger;
  for (let i = 0; i < ledger.pendingLength; i += 2) {
    const word = pending[i] ?? 0;
    owned[word] = (owned[word] ?? 0) | (pending[i + 1] ?? 0);
  }
  ledger.pendingLength = 0;
}
