/** Reads the bytes of an image within limits. Numbers in qcow2 are big endian. */

/**
 * The file that this reader needs. Reading is synchronous: it takes a third of the time of a thread pool, and the
 * reader lets the event loop run between reads.
 */
export interface ImageBytes {
  /** Bytes in the file. */
  readonly size: number;
  /**
   * Reads from that offset; returns the number of bytes read, which is smaller than requested only at the end of the
   * file.
   */
  read(offset: number, into: Uint8Array): number;
  /** Tells which pieces of so many bytes will be read, in this order; a file of another host fetches many at once. */
  expect?(offsets: readonly number[], bytes: number): void;
}

/**
 * Why an image cannot be measured. `damaged`: QEMU would refuse it too, or `qemu-img check` would report an error.
 * `feature`: it uses an unknown feature of the format. `too-large`: measuring it would need more memory than this
 * reader allows itself.
 */
export type Obstacle =
  | 'not-qcow2'
  | 'corrupt'
  | 'feature'
  | 'data-file'
  | 'damaged'
  | 'too-large'
  | 'changing'
  | 'unreadable';

/** Ends the reading of an image; it is only thrown within this folder. */
export class Unmeasurable extends Error {
  readonly why: Obstacle;
  constructor(why: Obstacle, detail: string) {
    super(detail);
    this.why = why;
  }
}

/** The same as a result. */
export interface Unmeasured {
  readonly kind: 'unmeasured';
  readonly why: Obstacle;
  readonly detail: string;
}

/** Turns the error that ended a measurement into its result; throws errors that are not Unmeasurable. */
export function asAnswer(error: unknown): Unmeasured {
  if (error instanceof Unmeasurable) return { kind: 'unmeasured', why: error.why, detail: error.message };
  throw error;
}

/** The error for what cannot be in an image that QEMU has written. */
export const damaged = (detail: string): Unmeasurable => new Unmeasurable('damaged', detail);

/** Fills the array from that offset of the image; as in QEMU, there are zeros beyond the end of the file. */
export function fill(image: ImageBytes, offset: number, into: Uint8Array): void {
  let done = 0;
  while (done < into.length && offset + done < image.size) {
    const count = image.read(offset + done, done === 0 ? into : into.subarray(done));
    if (count <= 0) break;
    done += count;
  }
  if (done < into.length) into.fill(0, done);
}

/** The same into a new DataView. */
export function bytesAt(image: ImageBytes, offset: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  fill(image, offset, bytes);
  return viewOf(bytes);
}

/** A view of the same memory. */
export const viewOf = ({ buffer, byteOffset, length }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, length);

/** An unsigned number of 64 bits. It is inexact above 2^53, but no file offset is that large. */
export function uint64(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

/** The offset in an entry of an L1 table: bits 9 to 55, the others are flags or reserved. */
export function offsetIn(view: DataView, at: number): number {
  return (view.getUint32(at) & 0xff_ffff) * 2 ** 32 + ((view.getUint32(at + 4) & ~511) >>> 0);
}

/** Lets the event loop run, for a progress line or Ctrl-C, each time after so much work. */
export function createBreath(every: number): (done: number) => Promise<void> | null {
  let since = 0;
  return (done) => {
    since += done;
    if (since < every) return null;
    since = 0;
    return new Promise((resolve) => setImmediate(resolve));
  };
}

/** Bytes to read between two runs of the event loop: less than 1 ms from memory. */
export const BREATH_BYTES = 2 ** 19;
