import type { DiskImage, Image } from '../model/image.ts';
import { commandLine } from '../model/quote.ts';

/**
 * Saved memory in an image, beyond the end of the disk, that belongs to no snapshot. A failed save leaves it (hazard
 * 7), and so does a snapshot that is deleted after a revert to it, because the revert makes the image itself refer to
 * the memory.
 */

export interface UnusedMemory {
  /** Bytes of clusters to which the image itself refers, but no snapshot. */
  readonly bytes: number;
  /** Where they end, as an offset in the guest's disk. */
  readonly endBytes: number;
}

/** Bytes; a smaller amount is not reported. */
const LEAST_BYTES = 1024 * 1024;

/** Whether it is worth a remark. */
export const isNotable = ({ bytes }: UnusedMemory): boolean => bytes >= LEAST_BYTES;

/**
 * The arguments of the two qemu-img commands that free the memory: one grows the disk over the memory beyond its end,
 * the other shrinks it back. The VM must be off.
 */
export function freeUnusedMemoryArguments(path: string, virtualBytes: number, growBytes: number): string[][] {
  return [
    ['resize', '-f', 'qcow2', path, `+${growBytes}`],
    ['resize', '-f', 'qcow2', '--shrink', path, String(virtualBytes)],
  ];
}

/** The same as lines for a shell. */
export const freeUnusedMemoryLines = ({ path, virtualBytes }: Image, { endBytes }: UnusedMemory): string[] =>
  freeUnusedMemoryArguments(path, virtualBytes, endBytes - virtualBytes).map((args) =>
    commandLine('qemu-img', args),
  );

/**
 * The image, if resizing it can free the memory; null if qemu-img cannot resize it, or if the grown disk would show
 * data of the backing file.
 */
export function resizable(image: DiskImage | undefined): Image | null {
  if (image?.kind !== 'seen') return null;
  const [top, below] = image.chain;
  return top.encrypted || (below && below.virtualBytes > top.virtualBytes) ? null : top;
}
