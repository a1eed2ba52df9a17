import type { ImageBytes } from '../../src/qemu/qcow2/bytes.ts';

/** Small qcow2 images in memory, without QEMU. Each name of a cluster is one cluster. */

/** What an L2 entry refers to. */
export type Entry =
  | string
  | null
  /** It reads as zeros, but has its place. */
  | { readonly zero: string }
  /** Compressed: from that sector of the cluster on, and so many sectors more. */
  | { readonly packed: string; readonly sector: number; readonly more: number };

export interface Recipe {
  readonly clusterBits?: number;
  readonly version?: 2 | 3;
  readonly extended?: boolean;
  readonly dirty?: boolean;
  readonly refcountOrder?: number;
  /** Clusters that are to lie one behind the other. */
  readonly row?: readonly string[];
  /** L2 tables by name. */
  readonly tables: Readonly<Record<string, readonly Entry[]>>;
  /** L2 tables by index into the L1 table; of snapshots by their id. */
  readonly active: readonly (string | null)[];
  readonly snapshots: Readonly<Record<string, readonly (string | null)[]>>;
  /** L2 tables that map the disk; those after them map saved memory. */
  readonly diskTables?: number;
  /** References beyond those that there are. */
  readonly leaks?: readonly string[];
}

const METADATA = ['header', 'refcount table', 'refcounts', 'L1', 'snapshots'];

/** An image whose refcounts are right, but for the leaks. Its tables are to fit into one cluster each. */
export function buildImage(recipe: Recipe): Buffer {
  const { clusterBits = 9, refcountOrder = 4 } = recipe;
  const clusterBytes = 2 ** clusterBits;
  const places = new Map([...new Set(clusterNames(recipe))].map((name, i) => [name, i]));
  const place = (name: string) => places.get(name) ?? 0;
  const at = (name: string) => place(name) * clusterBytes;
  const bytes = Buffer.alloc(places.size * clusterBytes);
  writeHeader(bytes, recipe, clusterBits, at);
  bytes.writeBigUInt64BE(BigInt(at('refcounts')), at('refcount table'));
  for (const [cluster, value] of countReferences(recipe, place, clusterBytes))
    writeCount(bytes, at('refcounts'), refcountOrder, cluster, value);
  writeL1Tables(bytes, recipe, at);
  writeL2Tables(bytes, recipe, clusterBits, at);
  writeSnapshots(bytes, recipe, clusterBits, at);
  return bytes;
}

function clusterNames({ tables, snapshots, row = [] }: Recipe): string[] {
  const data = Object.values(tables).flatMap((entries) =>
    entries.flatMap((entry) => (entry === null ? [] : [nameIn(entry)])),
  );
  return [...METADATA, ...l1Names(snapshots), ...Object.keys(tables), ...row, ...data];
}

const l1Names = (snapshots: Recipe['snapshots']): string[] =>
  Object.keys(snapshots).map((id) => `L1 of ${id}`);

function writeL1Tables(bytes: Buffer, { active, snapshots }: Recipe, at: (name: string) => number): void {
  const write = (l1: readonly (string | null)[], offset: number) => {
    for (const [i, name] of l1.entries())
      if (name !== null) bytes.writeBigUInt64BE(BigInt(at(name)), offset + i * 8);
  };
  write(active, at('L1'));
  for (const [id, l1] of Object.entries(snapshots)) write(l1, at(`L1 of ${id}`));
}

function writeL2Tables(
  bytes: Buffer,
  { tables, extended = false }: Recipe,
  clusterBits: number,
  at: (name: string) => number,
): void {
  for (const [name, entries] of Object.entries(tables))
    for (const [i, entry] of entries.entries())
      bytes.writeBigUInt64BE(encode(entry, at, clusterBits), at(name) + i * (extended ? 16 : 8));
}

function countReferences(recipe: Recipe, place: (name: string) => number, clusterBytes: number) {
  const { tables, active, snapshots, leaks = [] } = recipe;
  const counts = new Map<number, number>();
  const count = (cluster: number, times: number) => counts.set(cluster, (counts.get(cluster) ?? 0) + times);
  const once = [...METADATA, ...l1Names(snapshots), ...leaks];
  for (const name of once) count(place(name), 1);
  const listed = [active, ...Object.values(snapshots)].flat();
  for (const [name, entries] of Object.entries(tables)) {
    const owners = listed.filter((other) => other === name).length;
    count(place(name), owners);
    for (const cluster of entries.flatMap((entry) => clustersOf(entry, place, clusterBytes)))
      count(cluster, owners);
  }
  return counts;
}

const nameIn = (entry: NonNullable<Entry>): string =>
  typeof entry === 'string' ? entry : 'zero' in entry ? entry.zero : entry.packed;

function clustersOf(entry: Entry, place: (name: string) => number, clusterBytes: number): number[] {
  if (entry === null) return [];
  const first = place(nameIn(entry));
  if (typeof entry === 'string' || 'zero' in entry) return [first];
  const last = Math.floor(((entry.sector + entry.more) * 512) / clusterBytes);
  return Array.from({ length: last + 1 }, (_, i) => first + i);
}

function encode(entry: Entry, at: (name: string) => number, clusterBits: number): bigint {
  if (entry === null) return 0n;
  const offset = BigInt(at(nameIn(entry)));
  if (typeof entry === 'string') return offset | (1n << 63n);
  if ('zero' in entry) return offset | 1n;
  const x = BigInt(62 - (clusterBits - 8));
  return (1n << 62n) | (BigInt(entry.more) << x) | (offset + BigInt(entry.sector * 512 + 7));
}

function writeHeader(bytes: Buffer, recipe: Recipe, clusterBits: number, at: (name: string) => number): void {
  const { version = 3, extended = false, dirty = false } = recipe;
  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeUInt32BE(version, 4);
  bytes.writeUInt32BE(clusterBits, 20);
  bytes.writeBigUInt64BE(diskBytes(recipe, clusterBits), 24);
  bytes.writeUInt32BE(recipe.active.length, 36);
  bytes.writeBigUInt64BE(BigInt(at('L1')), 40);
  bytes.writeBigUInt64BE(BigInt(at('refcount table')), 48);
  bytes.writeUInt32BE(1, 56);
  bytes.writeUInt32BE(Object.keys(recipe.snapshots).length, 60);
  bytes.writeBigUInt64BE(BigInt(at('snapshots')), 64);
  if (version === 2) return;
  bytes.writeUInt32BE((dirty ? 1 : 0) | (extended ? 16 : 0), 76);
  bytes.writeUInt32BE(recipe.refcountOrder ?? 4, 96);
  bytes.writeUInt32BE(104, 100);
}

function diskBytes({ extended = false, diskTables, active }: Recipe, clusterBits: number): bigint {
  return BigInt(diskTables ?? active.length) * (1n << BigInt(2 * clusterBits - (extended ? 4 : 3)));
}

function writeCount(bytes: Buffer, block: number, order: number, cluster: number, value: number): void {
  const bits = 2 ** order;
  if (bits >= 8)
    bytes.writeUIntBE(value, block + (cluster * bits) / 8 + Math.max(0, bits / 8 - 6), Math.min(6, bits / 8));
  else {
    const byte = block + Math.floor((cluster * bits) / 8);
    bytes[byte] = (bytes[byte] ?? 0) | (value << ((cluster * bits) % 8));
  }
}

/** Entries as QEMU writes them: 24 bytes of extra data, each padded to 8 bytes. The name is `snapshot ID`. */
function writeSnapshots(
  bytes: Buffer,
  recipe: Recipe,
  clusterBits: number,
  at: (name: string) => number,
): void {
  let offset = at('snapshots');
  for (const [id, l1] of Object.entries(recipe.snapshots)) {
    const name = `snapshot ${id}`;
    bytes.writeBigUInt64BE(BigInt(at(`L1 of ${id}`)), offset);
    bytes.writeUInt32BE(l1.length, offset + 8);
    bytes.writeUInt16BE(id.length, offset + 12);
    bytes.writeUInt16BE(name.length, offset + 14);
    bytes.writeUInt32BE(24, offset + 36);
    bytes.writeBigUInt64BE(diskBytes(recipe, clusterBits), offset + 48);
    bytes.write(id + name, offset + 64);
    offset = Math.ceil((offset + 64 + id.length + name.length) / 8) * 8;
  }
}

/** A port that counts how much is read through it. */
export function portOf(bytes: Buffer): ImageBytes & { readonly total: { bytes: number } } {
  const total = { bytes: 0 };
  return {
    size: bytes.length,
    total,
    read(offset, into) {
      const count = bytes.copy(into, 0, offset, Math.min(bytes.length, offset + into.length));
      total.bytes += count;
      return count;
    },
  };
}
