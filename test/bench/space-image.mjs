// Large qcow2 images with real metadata and a hole for data, written cluster by cluster: clusters of 64 KiB, refcounts of
// 16 bits. `qemu-img check` finds nothing wrong with them.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

const CLUSTER = 65536;
export const ENTRIES = CLUSTER / 8;
const SNAPSHOT = 72;

const clustersFor = (bytes) => Math.ceil(bytes / CLUSTER);

/** An image of so many L2 tables' worth of disk, to be written to and snapshotted, then to be put into a file. */
export function createImage(tables) {
  const image = { tables, next: 1, active: { l1: Array(tables).fill(null) }, snapshots: [], every: [] };
  return {
    /** Maps that cluster of the guest's disk to a new one of the file, as a write does. */
    write(guest) {
      const index = Math.floor(guest / ENTRIES);
      if (!image.active.l1[index] || image.active.l1[index].shared) copyTable(image, index);
      image.active.l1[index].entries[guest % ENTRIES] = take(image);
    },
    snapshot() {
      for (const table of image.active.l1) if (table) table.shared = true;
      image.snapshots.push({ l1: [...image.active.l1], cluster: take(image, clustersFor(tables * 8)) });
    },
    /** Returns how many L2 tables there are, and the bytes of metadata. */
    save: (path) => save(image, path),
  };
}

function take(image, count = 1) {
  image.next += count;
  return image.next - count;
}

function copyTable(image, index) {
  const old = image.active.l1[index];
  const table = { entries: Uint32Array.from(old?.entries ?? new Uint32Array(ENTRIES)), cluster: take(image) };
  image.active.l1[index] = table;
  image.every.push(table);
}

function save(image, path) {
  const place = placeMetadata(image);
  const counts = countReferences(image, place);
  const file = openSync(path, 'w');
  const put = (bytes, cluster) => writeSync(file, bytes, 0, bytes.length, cluster * CLUSTER);
  const active = new Set(image.active.l1);
  for (const table of image.every)
    put(
      encode(table.entries, (cluster) => active.has(table) && counts[cluster] === 1),
      table.cluster,
    );
  const l1Of = ({ l1 }) => l1.map((table) => table?.cluster ?? 0);
  put(
    encode(l1Of(image.active), (cluster) => counts[cluster] === 1),
    place.l1,
  );
  for (const snapshot of image.snapshots)
    put(
      encode(l1Of(snapshot), () => false),
      snapshot.cluster,
    );
  put(snapshotTable(image), place.snapshots);
  put(Buffer.from(counts.buffer).swap16(), place.blocks);
  put(
    encode(
      Array.from({ length: place.blockCount }, (_, i) => place.blocks + i),
      () => false,
    ),
    place.refcountTable,
  );
  put(header(image, place), 0);
  ftruncateSync(file, image.next * CLUSTER);
  closeSync(file);
  return { tables: image.every.length, metadata: (image.every.length + place.blockCount) * CLUSTER };
}

function placeMetadata(image) {
  const l1 = take(image, clustersFor(image.tables * 8));
  const snapshots = take(image, clustersFor(image.snapshots.length * SNAPSHOT));
  const perBlock = CLUSTER / 2;
  const blockCount = Math.ceil((image.next * (1 + 1 / perBlock) + 8) / perBlock);
  const blocks = take(image, blockCount);
  return { l1, snapshots, blocks, blockCount, refcountTable: take(image, clustersFor(blockCount * 8)) };
}

function countReferences(image, place) {
  const counts = new Uint16Array((place.blockCount * CLUSTER) / 2);
  const l1Clusters = clustersFor(image.tables * 8);
  counts[0] = 1;
  counts.fill(1, place.l1, place.refcountTable + clustersFor(place.blockCount * 8));
  for (const { cluster } of image.snapshots) counts.fill(1, cluster, cluster + l1Clusters);
  for (const { l1 } of [image.active, ...image.snapshots])
    for (const table of l1) if (table) counts[table.cluster]++;
  for (const table of image.every)
    for (const cluster of table.entries) if (cluster !== 0) counts[cluster] += counts[table.cluster];
  return counts;
}

/** Offsets of clusters, with the copied flag where it is due. */
function encode(clusters, isCopied) {
  const bytes = Buffer.alloc(clusters.length * 8);
  for (let i = 0; i < clusters.length; i++) {
    const cluster = clusters[i];
    if (cluster === 0) continue;
    bytes.writeUInt32BE((cluster >>> 16) + (isCopied(cluster) ? 2 ** 31 : 0), i * 8);
    bytes.writeUInt32BE((cluster & 0xffff) * CLUSTER, i * 8 + 4);
  }
  return bytes;
}

/** Ids are `0001` and so on. */
function snapshotTable({ tables, snapshots }) {
  const bytes = Buffer.alloc(snapshots.length * SNAPSHOT);
  for (const [i, { cluster }] of snapshots.entries()) {
    const at = i * SNAPSHOT;
    const id = String(i + 1).padStart(4, '0');
    bytes.writeBigUInt64BE(BigInt(cluster * CLUSTER), at);
    bytes.writeUInt32BE(tables, at + 8);
    bytes.writeUInt16BE(4, at + 12);
    bytes.writeUInt16BE(4, at + 14);
    bytes.writeUInt32BE(24, at + 36);
    bytes.writeBigUInt64BE(BigInt(tables * ENTRIES * CLUSTER), at + 48);
    bytes.write(id + id, at + 64);
  }
  return bytes;
}

function header({ tables, snapshots }, place) {
  const bytes = Buffer.alloc(112);
  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeUInt32BE(3, 4);
  bytes.writeUInt32BE(16, 20);
  bytes.writeBigUInt64BE(BigInt(tables * ENTRIES * CLUSTER), 24);
  bytes.writeUInt32BE(tables, 36);
  bytes.writeBigUInt64BE(BigInt(place.l1 * CLUSTER), 40);
  bytes.writeBigUInt64BE(BigInt(place.refcountTable * CLUSTER), 48);
  bytes.writeUInt32BE(clustersFor(place.blockCount * 8), 56);
  bytes.writeUInt32BE(snapshots.length, 60);
  bytes.writeBigUInt64BE(BigInt(place.snapshots * CLUSTER), 64);
  bytes.writeUInt32BE(4, 96);
  bytes.writeUInt32BE(104, 100);
  return bytes;
}
