/** The bytes of an image, and how all that is read from it is bounded. Numbers in qcow2 are big endian. */

/**
 * A file as this reader wants it. Reading is synchronous: it takes a third of the time of a thread pool, and the reader
 * lets the event loop turn between reads.
 */
export interface ImageBytes {
  /** Bytes in the file. */
  readonly size: number;
  /** Reads from that offset on; returns how many bytes there were, fewer than asked for only at the end of the file. */
  read(offset: number, into: Uint8Array): number;
}

/**
 * Why an image cannot be measured. `damaged`: QEMU would refuse it too, or `qemu-img check` would find something.
 * `feature`: the format has grown. `too-large`: an answer would take more memory than this reader grants itself.
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

/** Ends the reading of an image; nobody outside sees it. */
export class Unmeasurable extends Error {
  readonly why: Obstacle;
  constructor(why: Obstacle, detail: string) {
    super(detail);
    this.why = why;
  }
}

/** The same as an answer. */
export interface Unmeasured {
  readonly kind: 'unmeasured';
  readonly why: Obstacle;
  readonly detail: string;
}

/** What ended a measurement, as its answer; throws what is no Unmeasurable. */
export function asAnswer(error: unknown): Unmeasured {
  if (error instanceof Unmeasurable) return { kind: 'unmeasured', why: error.why, detail: error.message };
  throw error;
}

/** For what cannot be in an image that QEMU has written. */
export const damaged = (detail: string): Unmeasurable => new Unmeasurable('damaged', detail);

/** Fills the whole array from that offset of the image; beyond the end of the file are zeros, as QEMU has it. */
export function fill(image: ImageBytes, offset: number, into: Uint8Array): void {
  let done = 0;
  while (done < into.length && offset + done < image.size) {
    const count = image.read(offset + done, done === 0 ? into : into.subarray(done));
    if (count <= 0) break;
    done += count;
  }
  if (done < into.length) into.fill(0, done);
}

/** The same into new memory, for DataView. */
export function bytesAt(image: ImageBytes, offset: number, length: number): DataView {
  const bytes = new Uint8Array(length);
  fill(image, offset, bytes);
  return viewOf(bytes);
}

/** A view of the same memory. */
export const viewOf = ({ buffer, byteOffset, length }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, length);

/** An unsigned number of 64 bits; above 2^53 only roughly, and no offset of a file is that large. */
export function uint64(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

/** The offset in an entry of an L1 table: bits 9 to 55, the others are flags or reserved. */
export function offsetIn(view: DataView, at: number): number {
  return (view.getUint32(at) & 0xff_ffff) * 2 ** 32 + ((view.getUint32(at + 4) & ~511) >>> 0);
}

/** Lets the event loop turn, for a progress line or Ctrl-C, each time that so much has been done since. */
export function createBreath(every: number): (done: number) => Promise<void> | null {
  let since = 0;
  return (done) => {
    since += done;
    if (since < every) return null;
    since = 0;
    return new Promise((resolve) => setImmediate(resolve));
  };
}

/** Bytes to read between two turns of the event loop: under 1 ms from memory. */
export const BREATH_BYTES = 2 ** 19;
