import { bytesAt, damaged, type ImageBytes, Unmeasurable, uint64 } from './bytes.ts';

/** The header. Source of the format: QEMU's docs/interop/qcow2.rst; limits are those of QEMU's block/qcow2.h. */

/** The place of some entries of 8 bytes. */
export interface Table {
  readonly offset: number;
  readonly entries: number;
}

export interface Header {
  readonly clusterBytes: number;
  /** The size of the virtual disk in bytes. */
  readonly virtualBytes: number;
  /** The active L1 table. */
  readonly l1: Table;
  readonly refcountTable: Table;
  /** The width of a refcount is 2 to this power, in bits. */
  readonly refcountOrder: number;
  readonly snapshots: { readonly offset: number; readonly count: number };
  /** Whether refcounts may be wrong, because a writer with lazy refcounts is active or was killed. */
  readonly dirty: boolean;
  /** 8, or 16 with subclusters. */
  readonly l2EntryBytes: number;
}

export const MAGIC = 0x514649fb; // QFI\xfb
const DIRTY = 1 << 0;
const CORRUPT = 1 << 1;
const DATA_FILE = 1 << 2;
const COMPRESSION_TYPE = 1 << 3;
const EXTENDED_L2 = 1 << 4;
const KNOWN = DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;

const MAX_L1_ENTRIES = (32 * 2 ** 20) / 8;
const MAX_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20;
const MAX_SNAPSHOTS = 65536;

/** Reads the header; throws Unmeasurable if this reader or QEMU itself would refuse it. */
export function readHeader(image: ImageBytes): Header {
  const view = bytesAt(image, 0, 104);
  if (image.size < 72 || view.getUint32(0) !== MAGIC)
    throw new Unmeasurable('not-qcow2', 'it is not a qcow2 image');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw new Unmeasurable('feature', `it is qcow2 of version ${version}`);
  const features = version === 2 ? 0 : checkFeatures(view);
  const extended = (features & EXTENDED_L2) !== 0;
  const clusterBytes = clusterBytesIn(view, extended);
  const refcountOrder = version === 2 ? 4 : view.getUint32(96);
  if (refcountOrder > 6) throw damaged(`it has refcounts of 2^${refcountOrder} bits`);
  const snapshots = { offset: uint64(view, 64), count: view.getUint32(60) };
  if (snapshots.count > MAX_SNAPSHOTS) throw damaged(`it has ${snapshots.count} snapshots`);
  if (snapshots.count > 0) checkOffset(image, clusterBytes, 'the snapshot table', snapshots.offset);
  return {
    clusterBytes,
    virtualBytes: uint64(view, 24),
    l1: l1At(image, clusterBytes, 'the L1 table', { offset: uint64(view, 40), entries: view.getUint32(36) }),
    refcountTable: refcountTableIn(image, view, clusterBytes),
    refcountOrder,
    snapshots,
    dirty: (features & DIRTY) !== 0,
    l2EntryBytes: extended ? 16 : 8,
  };
}

function clusterBytesIn(view: DataView, extended: boolean): number {
  const bits = view.getUint32(20);
  if (bits < (extended ? 14 : 9) || bits > 21) throw damaged(`it has clusters of 2^${bits} bytes`);
  return 2 ** bits;
}

function refcountTableIn(image: ImageBytes, view: DataView, clusterBytes: number): Table {
  const table = { offset: uint64(view, 48), entries: (view.getUint32(56) * clusterBytes) / 8 };
  if (table.entries === 0 || table.entries * 8 > MAX_REFCOUNT_TABLE_BYTES)
    throw damaged(`it has a refcount table of ${table.entries} entries`);
  checkOffset(image, clusterBytes, 'the refcount table', table.offset);
  return table;
}

function checkFeatures(view: DataView): number {
  const [high, features] = [view.getUint32(72), view.getUint32(76)];
  if (features & CORRUPT) throw new Unmeasurable('corrupt', 'it is marked as corrupt');
  if (high !== 0 || features & ~KNOWN) throw new Unmeasurable('feature', 'it has an unknown feature');
  if (features & DATA_FILE) throw new Unmeasurable('data-file', 'its data is in another file');
  if (view.getUint32(100) < 104) throw damaged(`it has a header of ${view.getUint32(100)} bytes`);
  return features;
}

/** Bytes of the disk that one L2 table maps. */
export const bytesPerTable = ({ clusterBytes, l2EntryBytes }: Header): number =>
  (clusterBytes / l2EntryBytes) * clusterBytes;

/** Checks the place of an L1 table of the image or of a snapshot. */
export function l1At(image: ImageBytes, clusterBytes: number, what: string, table: Table): Table {
  if (table.entries > MAX_L1_ENTRIES) throw damaged(`${what} has ${table.entries} entries`);
  if (table.entries > 0) checkOffset(image, clusterBytes, what, table.offset);
  return table;
}

/** The end may be beyond the end of the file, because parts that were never written are zeros. */
function checkOffset(image: ImageBytes, clusterBytes: number, what: string, offset: number): void {
  if (offset === 0 || offset % clusterBytes !== 0 || offset >= image.size)
    throw damaged(`${what} cannot be at offset ${offset}`);
}
