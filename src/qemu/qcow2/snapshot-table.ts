import type { Tag } from '../../model/image.ts';
import { bytesAt, damaged, fill, type ImageBytes, uint64 } from './bytes.ts';
import { bytesPerTable, type Header, l1At, type Table } from './header.ts';

/** The snapshot table. Source of the format: QEMU's docs/interop/qcow2.rst, "Snapshots". */

export interface InternalSnapshot {
  /** The id, which is unique in the image; the name is not. */
  readonly id: string;
  readonly name: string;
  readonly l1: Table;
  /** The index from which on the entries of its L1 table map the saved memory of the guest instead of its disk. */
  readonly vmStateIndex: number;
  /** The length of the saved memory as a stream; it occupies more. */
  readonly vmStateBytes: number;
  /** The size of the disk when it was taken. */
  readonly diskBytes: number;
  /**
   * What tells it from any other snapshot in the image, of any time: the place of its L1 table and its time, to the nanosecond. Id,
   * name and place alone do not: after a deletion, the next snapshot may get all three.
   */
  readonly mark: string;
  /** The bytes of its entry, without padding, when QEMU rewrites the table. */
  readonly entryBytes: number;
}

export interface SnapshotTable {
  readonly snapshots: readonly InternalSnapshot[];
  /** The present size of the table in bytes. */
  readonly bytes: number;
}

const FIXED = 40;
const MAX_EXTRA = 1024;
const MAX_TABLE = 64 * 2 ** 20;
/** The extra data that QEMU 5.0 and later write; they keep further extra data. */
const EXTRA_NOW = 24;

/** Reads all snapshots in the order of the table. */
export function readSnapshotTable(image: ImageBytes, header: Header): SnapshotTable {
  return readEntries(image, header.snapshots, (entry, lengths) => parseEntry(image, header, entry, lengths));
}

/** The same, with only what `qemu-img info` shows. */
export function readTags(image: ImageBytes, table: Header['snapshots']): readonly Tag[] {
  const { snapshots } = readEntries(image, table, (entry, lengths) => ({
    ...namesIn(entry, lengths),
    vmStateBytes: vmStateBytesIn(entry, lengths),
    createdAtSeconds: entry.getUint32(16),
  }));
  return snapshots;
}

function readEntries<T>(
  image: ImageBytes,
  { offset: start, count }: Header['snapshots'],
  parse: (entry: DataView, lengths: Lengths) => T,
): { readonly snapshots: readonly T[]; readonly bytes: number } {
  const at = createWindow(image);
  const snapshots: T[] = [];
  let offset = start;
  for (let i = 0; i < count; i++) {
    offset = align8(offset);
    if (offset + FIXED > image.size || offset - start > MAX_TABLE)
      throw damaged(`snapshot ${i + 1} of ${count} lies beyond the table`);
    const fixed = at(offset, FIXED);
    const [idBytes, nameBytes, extraBytes] = [fixed.getUint16(12), fixed.getUint16(14), fixed.getUint32(36)];
    const rest = extraBytes + idBytes + nameBytes;
    if (extraBytes > MAX_EXTRA || offset + FIXED + rest > image.size)
      throw damaged(`snapshot ${i + 1} of ${count} has ${rest} bytes`);
    const entry = at(offset, FIXED + rest);
    snapshots.push(parse(entry, { idBytes, nameBytes, extraBytes }));
    offset += FIXED + rest;
  }
  return { snapshots, bytes: offset - start };
}

interface Lengths {
  readonly idBytes: number;
  readonly nameBytes: number;
  readonly extraBytes: number;
}

function parseEntry(image: ImageBytes, header: Header, entry: DataView, lengths: Lengths): InternalSnapshot {
  const { clusterBytes } = header;
  const { idBytes, nameBytes, extraBytes } = lengths;
  const { id, name } = namesIn(entry, lengths);
  // version 2 may not have this field; at that time the disk could not be resized
  const diskBytes = extraBytes >= 16 ? uint64(entry, 48) : header.virtualBytes;
  return {
    id,
    name,
    l1: l1At(image, clusterBytes, `the L1 table of snapshot ${id}`, {
      offset: uint64(entry, 0),
      entries: entry.getUint32(8),
    }),
    diskBytes,
    mark: `${uint64(entry, 0)} ${entry.getUint32(8)} ${entry.getUint32(16)}.${entry.getUint32(20)}`,
    vmStateIndex: Math.ceil(diskBytes / bytesPerTable(header)),
    vmStateBytes: vmStateBytesIn(entry, lengths),
    entryBytes: FIXED + Math.max(EXTRA_NOW, extraBytes) + idBytes + nameBytes,
  };
}

function namesIn(entry: DataView, { idBytes, nameBytes, extraBytes }: Lengths): Pick<Tag, 'id' | 'name'> {
  const text = new TextDecoder('utf-8', { ignoreBOM: true });
  const textAt = (at: number, length: number) =>
    text.decode(new Uint8Array(entry.buffer, entry.byteOffset + at, length));
  return {
    id: textAt(FIXED + extraBytes, idBytes),
    name: textAt(FIXED + extraBytes + idBytes, nameBytes),
  };
}

const vmStateBytesIn = (entry: DataView, { extraBytes }: Lengths): number =>
  extraBytes >= 8 ? uint64(entry, 40) : entry.getUint32(32);

const align8 = (offset: number): number => Math.ceil(offset / 8) * 8;

/** The size of the table after QEMU has rewritten it without the snapshots deleted so far. */
export function rewrittenTable(snapshots: readonly InternalSnapshot[]) {
  const padded = snapshots.map(({ entryBytes }) => align8(entryBytes));
  const gone = new Set<number>();
  let sum = padded.reduce((total, bytes) => total + bytes, 0);
  let last = snapshots.length - 1;
  return {
    delete(place: number): void {
      gone.add(place);
      sum -= padded[place] ?? 0;
      while (gone.has(last)) last--;
    },
    restore(place: number): void {
      gone.delete(place);
      sum += padded[place] ?? 0;
      last = Math.max(last, place);
    },
    /** The last entry has no padding. */
    bytes: (): number => sum - (padded[last] ?? 0) + (snapshots[last]?.entryBytes ?? 0),
  };
}

/** Reads blocks of the table, because its entries are short. */
function createWindow(image: ImageBytes): (offset: number, length: number) => DataView {
  const block = new Uint8Array(4096);
  let start = -1;
  return (offset, length) => {
    if (length > block.length) return bytesAt(image, offset, length);
    if (start < 0 || offset < start || offset + length > start + block.length) {
      fill(image, offset, block);
      start = offset;
    }
    return new DataView(block.buffer, offset - start, length);
  };
}
