// The content of small qcow2 images, read by the test itself: a process of qemu-img for each would be most of the test's time.
// After docs/interop/qcow2.rst of QEMU. Each world has a content of its own choice read by qemu-img too (see sight.ts).
import { dirname, isAbsolute, join } from 'node:path';

export interface Image {
  readonly bytes: Buffer;
  /** Of the disk, in bytes. */
  readonly size: number;
  readonly clusterBits: number;
  readonly active: Table;
  /** As the image names it; null: it stands alone. */
  readonly backing: string | null;
  /** In the order of the image's table: of two with the same name, libvirt takes the first. */
  readonly tags: readonly Tag[];
}

export interface Tag {
  readonly id: string;
  readonly name: string;
  readonly table: Table;
}

/** An L1 table: where it begins, and its entries. */
interface Table {
  readonly offset: number;
  readonly length: number;
}

const OFFSET = 0x00fffffffffffe00n;
const ZERO = 1n;
const COMPRESSED = 1n << 62n;

/** The image in these bytes; null where they are none. */
export function parseImage(bytes: Buffer): Image | null {
  if (bytes.length < 104 || bytes.readUInt32BE(0) !== 0x514649fb) return null;
  const [from, length] = [Number(bytes.readBigUInt64BE(8)), bytes.readUInt32BE(16)];
  return {
    bytes,
    size: Number(bytes.readBigUInt64BE(24)),
    clusterBits: bytes.readUInt32BE(20),
    active: { offset: Number(bytes.readBigUInt64BE(40)), length: bytes.readUInt32BE(36) },
    backing: from === 0 ? null : bytes.toString('utf8', from, from + length),
    tags: readTags(bytes, Number(bytes.readBigUInt64BE(64)), bytes.readUInt32BE(60)),
  };
}

function readTags(bytes: Buffer, start: number, count: number): Tag[] {
  const tags: Tag[] = [];
  let at = start;
  for (let n = 0; n < count; n++) {
    const [idLength, nameLength] = [bytes.readUInt16BE(at + 12), bytes.readUInt16BE(at + 14)];
    const id = at + 40 + bytes.readUInt32BE(at + 36);
    const name = id + idLength;
    tags.push({
      id: bytes.toString('utf8', id, name),
      name: bytes.toString('utf8', name, name + nameLength),
      table: { offset: Number(bytes.readBigUInt64BE(at)), length: bytes.readUInt32BE(at + 8) },
    });
    at = Math.ceil((name + nameLength) / 8) * 8;
  }
  return tags;
}

/** What a guest would find on the disk at this table, over what lies below it. Throws at what these images do not have. */
export function contentAt(image: Image, table: Table, below: Buffer | null): Buffer {
  const { bytes, size, clusterBits } = image;
  const cluster = 1 << clusterBits;
  const content = Buffer.alloc(size);
  below?.copy(content);
  for (let at = 0; at < size; at += cluster) {
    const entry = entryOf(image, table, at >> clusterBits);
    if (entry & COMPRESSED) throw new Error('a compressed cluster');
    const offset = Number(entry & OFFSET);
    const end = Math.min(at + cluster, size);
    if (entry & ZERO) content.fill(0, at, end);
    else if (offset !== 0) bytes.copy(content, at, offset, offset + end - at);
  }
  return content;
}

function entryOf({ bytes, clusterBits }: Image, { offset, length }: Table, cluster: number): bigint {
  const perTable = 1 << (clusterBits - 3);
  const index = Math.floor(cluster / perTable);
  const l2 = index < length ? Number(bytes.readBigUInt64BE(offset + 8 * index) & OFFSET) : 0;
  return l2 === 0 ? 0n : bytes.readBigUInt64BE(l2 + 8 * (cluster % perTable));
}

/** The path of the backing file, which an image may name relative to its own. */
export const backingPath = (path: string, backing: string): string =>
  isAbsolute(backing) ? backing : join(dirname(path), backing);
