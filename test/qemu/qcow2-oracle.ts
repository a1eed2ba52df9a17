// A second reader of qcow2, written from the specification alone: slow, with sets and BigInt, for images without harm.
// It shares nothing with src. What a deletion frees it takes from the refcounts before and after the real one.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

type Bytes = (offset: bigint, length: number) => Buffer;

interface Layout {
  readonly bytes: Bytes;
  readonly cluster: bigint;
  readonly clusterBits: number;
  readonly size: bigint;
  readonly refcountBits: number;
  readonly entryBytes: number;
}

function withImage<Result>(path: string, look: (layout: Layout) => Result): Result {
  const file = openSync(path, 'r');
  const fileBytes = BigInt(fstatSync(file).size);
  const bytes: Bytes = (offset, length) => {
    const into = Buffer.alloc(length);
    if (offset < fileBytes) readSync(file, into, 0, length, Number(offset));
    return into;
  };
  try {
    const header = bytes(0n, 112);
    const version = header.readUInt32BE(4);
    const clusterBits = header.readUInt32BE(20);
    return look({
      bytes,
      clusterBits,
      cluster: 1n << BigInt(clusterBits),
      size: header.readBigUInt64BE(24),
      refcountBits: version === 2 ? 16 : 1 << header.readUInt32BE(96),
      entryBytes: version === 3 && header.readBigUInt64BE(72) & 16n ? 16 : 8,
    });
  } finally {
    closeSync(file);
  }
}

/** The clusters whose refcount is not zero, by the image's refcount table. */
export function usedClusters(path: string): Set<number> {
  return withImage(path, ({ bytes, cluster, refcountBits }) => {
    const header = bytes(0n, 64);
    const table = bytes(header.readBigUInt64BE(48), header.readUInt32BE(56) * Number(cluster));
    const perBlock = (Number(cluster) * 8) / refcountBits;
    const used = new Set<number>();
    for (let i = 0; i < table.length / 8; i++) {
      const offset = table.readBigUInt64BE(i * 8);
      if (offset === 0n) continue;
      for (const place of nonzero(bytes(offset, Number(cluster)), refcountBits))
        used.add(i * perBlock + place);
    }
    return used;
  });
}

function* nonzero(block: Buffer, bits: number): Generator<number> {
  for (let i = 0; i < (block.length * 8) / bits; i++) {
    const at = Math.floor((i * bits) / 8);
    const isUsed =
      bits >= 8
        ? block.subarray(at, at + bits / 8).some((byte) => byte !== 0)
        : ((block[at] ?? 0) >> ((i * bits) % 8)) % (1 << bits) !== 0;
    if (isUsed) yield i;
  }
}

/** What a snapshot refers to. */
export interface Walked {
  readonly id: string;
  readonly name: string;
  /** Clusters of the file, its tables included. */
  readonly holds: ReadonlySet<bigint>;
  readonly vmState: ReadonlySet<bigint>;
  /** The entry of each cluster of the guest's disk that has one, but for the copied flag. */
  readonly disk: ReadonlyMap<bigint, string>;
}

/** All snapshots of an image, each walked on its own. */
export function walkSnapshots(path: string): Walked[] {
  return withImage(path, (layout) => {
    const { bytes, size } = layout;
    const header = bytes(0n, 72);
    const walked: Walked[] = [];
    let at = header.readBigUInt64BE(64);
    for (let left = header.readUInt32BE(60); left > 0; left--) {
      at = (at + 7n) & ~7n;
      const fixed = bytes(at, 40);
      const [idBytes, nameBytes, extraBytes] = [
        fixed.readUInt16BE(12),
        fixed.readUInt16BE(14),
        fixed.readUInt32BE(36),
      ];
      const entry = bytes(at, 40 + extraBytes + idBytes + nameBytes);
      walked.push({
        id: entry.toString('utf8', 40 + extraBytes, 40 + extraBytes + idBytes),
        name: entry.toString('utf8', 40 + extraBytes + idBytes),
        ...walk(
          layout,
          entry.readBigUInt64BE(0),
          entry.readUInt32BE(8),
          extraBytes < 16 ? size : entry.readBigUInt64BE(48),
        ),
      });
      at += BigInt(entry.length);
    }
    return walked;
  });
}

const OFFSET = 0x00ff_ffff_ffff_fe00n;

function walk(layout: Layout, l1Offset: bigint, l1Size: number, diskBytes: bigint) {
  const { bytes, cluster, entryBytes } = layout;
  const holds = new Set<bigint>();
  const vmState = new Set<bigint>();
  const disk = new Map<bigint, string>();
  for (let at = 0n; at < BigInt(l1Size) * 8n; at += cluster) holds.add((l1Offset + at) / cluster);
  const perTable = cluster / BigInt(entryBytes);
  for (let i = 0; i < l1Size; i++) {
    const l2Offset = bytes(l1Offset + BigInt(i) * 8n, 8).readBigUInt64BE() & OFFSET;
    if (l2Offset === 0n) continue;
    const first = BigInt(i) * perTable;
    const isState = first * cluster >= diskBytes;
    const touch = (offset: bigint) => {
      holds.add(offset / cluster);
      if (isState) vmState.add(offset / cluster);
    };
    touch(l2Offset);
    for (const [k, { entry, text }] of entriesOf(bytes(l2Offset, Number(cluster)), entryBytes)) {
      if (!isState) disk.set(first + BigInt(k), text);
      for (const offset of hostOffsets(layout, entry)) touch(offset);
    }
  }
  return { holds, vmState, disk };
}

/** The entries of an L2 table that are not empty, but for the copied flag. */
function entriesOf(l2: Buffer, entryBytes: number): [number, { entry: bigint; text: string }][] {
  return Array.from({ length: l2.length / entryBytes }, (_, k) => k).flatMap((k) => {
    const entry = l2.readBigUInt64BE(k * entryBytes) & ((1n << 63n) - 1n);
    const text = `${entry.toString(16)} ${l2.toString('hex', k * entryBytes + 8, (k + 1) * entryBytes)}`;
    return /^[0 ]*$/.test(text) ? [] : [[k, { entry, text }] as [number, { entry: bigint; text: string }]];
  });
}

/** One offset in each cluster of the file that the entry refers to. */
function hostOffsets({ clusterBits, cluster }: Layout, entry: bigint): bigint[] {
  if ((entry & (1n << 62n)) === 0n) return (entry & OFFSET) === 0n ? [] : [entry & OFFSET];
  const x = BigInt(62 - (clusterBits - 8));
  const offset = entry & ((1n << x) - 1n);
  const moreSectors = (entry & ((1n << 62n) - 1n)) >> x;
  const offsets: bigint[] = [];
  const lastSector = offset / 512n + moreSectors;
  for (let sector = offset / 512n; sector <= lastSector; sector++)
    if (offsets.length === 0 || (sector * 512n) % cluster === 0n) offsets.push(sector * 512n);
  return offsets;
}

/** Clusters of the disk that two snapshots do not have alike. */
export function countDifferent(one: Walked, other: Walked): number {
  const places = new Set([...one.disk.keys(), ...other.disk.keys()]);
  return [...places].filter((place) => one.disk.get(place) !== other.disk.get(place)).length;
}
