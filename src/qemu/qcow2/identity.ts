import { bytesAt, damaged, fill, type ImageBytes, uint64 } from './bytes.ts';
import { MAGIC } from './header.ts';

/**
 * Reads the header of a qcow2 image, a few hundred bytes: the size, the marks, and the names of other files. Source of
 * the format: QEMU's docs/interop/qcow2.rst.
 */

export interface Identity {
  readonly virtualBytes: number;
  readonly clusterBytes: number;
  readonly refcountBits: number;
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly encrypted: boolean;
  /** The backing file, by its recorded name; `format` is null if the image records none. */
  readonly backing: { readonly name: string; readonly format: string | null } | null;
  /** The data file, by its recorded name; '' if the image records none. */
  readonly dataFile: string | null;
  readonly snapshots: { readonly offset: number; readonly count: number };
}

const LONGEST_NAME = 1023;
const DIRTY = 1;
const CORRUPT = 2;
const DATA_FILE = 4;
const BACKING_FORMAT_EXTENSION = 0xe2792aca;
const DATA_FILE_EXTENSION = 0x44415441;

/** The most header extensions that are read. They end with the first cluster, and there are about ten kinds. */
const MOST_EXTENSIONS = 64;

/** True for the first bytes of a qcow2 image. */
export const isQcow2 = (head: DataView): boolean => head.byteLength >= 4 && head.getUint32(0) === MAGIC;

/**
 * Reads the header; null if the file is not a qcow2 image of version 2 or 3. Throws Unmeasurable if the header is
 * damaged.
 */
export function readIdentity(image: ImageBytes): Identity | null {
  const view = bytesAt(image, 0, 104);
  const version = view.getUint32(4);
  if (!isQcow2(view) || (version !== 2 && version !== 3)) return null;
  const bits = view.getUint32(20);
  if (bits < 9 || bits > 21) throw damaged(`it has clusters of 2^${bits} bytes`);
  const clusterBytes = 2 ** bits;
  const features = version === 2 ? 0 : view.getUint32(76);
  const refcountOrder = version === 2 ? 4 : view.getUint32(96);
  if (refcountOrder > 6) throw damaged(`it has refcounts of 2^${refcountOrder} bits`);
  const extensions = readExtensions(image, version === 2 ? 72 : view.getUint32(100), clusterBytes);
  const name = backingName(image, view);
  return {
    virtualBytes: uint64(view, 24),
    clusterBytes,
    refcountBits: 2 ** refcountOrder,
    dirty: (features & DIRTY) !== 0,
    corrupt: (features & CORRUPT) !== 0,
    encrypted: view.getUint32(32) !== 0,
    backing: name === null ? null : { name, format: extensions.get(BACKING_FORMAT_EXTENSION) ?? null },
    dataFile: (features & DATA_FILE) === 0 ? null : (extensions.get(DATA_FILE_EXTENSION) ?? ''),
    snapshots: { offset: uint64(view, 64), count: view.getUint32(60) },
  };
}

function backingName(image: ImageBytes, view: DataView): string | null {
  const [offset, length] = [uint64(view, 8), view.getUint32(16)];
  if (offset === 0) return null;
  if (length > LONGEST_NAME || offset + length > image.size)
    throw damaged(`the name of its backing file has ${length} bytes, at offset ${offset}`);
  return length === 0 ? null : textAt(image, offset, length);
}

/** The texts of the two extensions that are used here, by the number of their kind. */
function readExtensions(image: ImageBytes, start: number, clusterBytes: number): ReadonlyMap<number, string> {
  const texts = new Map<number, string>();
  let offset = start;
  for (let i = 0; i < MOST_EXTENSIONS && offset + 8 <= Math.min(image.size, clusterBytes); i++) {
    const head = bytesAt(image, offset, 8);
    const [kind, length] = [head.getUint32(0), head.getUint32(4)];
    if (kind === 0) break;
    if (offset + 8 + length > clusterBytes) throw damaged('its header extensions have no end');
    if ((kind === BACKING_FORMAT_EXTENSION || kind === DATA_FILE_EXTENSION) && length <= LONGEST_NAME)
      texts.set(kind, textAt(image, offset + 8, length));
    offset += 8 + Math.ceil(length / 8) * 8;
  }
  return texts;
}

/** A string of C, which ends at the first NUL. */
function textAt(image: ImageBytes, offset: number, length: number): string {
  const bytes = new Uint8Array(length);
  fill(image, offset, bytes);
  const end = bytes.indexOf(0);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(end < 0 ? bytes : bytes.subarray(0, end));
}
