import type { DiskImage, Image } from '../model/image.ts';
import { commandLine } from '../model/quote.ts';

/**
 * Memory in an image, behind the end of the disk, that belongs to no snapshot: a save that failed leaves it (hazard
 * 7), and so does a snapshot that is deleted after a revert to it, which had the image itself refer to its memory
 * too.
 */

export interface UnusedMemory {
  /** Clusters that the image itself refers to and no snapshot does. */
  readonly bytes: number;
  /** Where they end in the address space of the guest's disk. */
  readonly endBytes: number;
}

/** Bytes; less than this is not reported. */
const LEAST_BYTES = 1024 * 1024;

export const isNotable = ({ bytes }: UnusedMemory): boolean => bytes >= LEAST_BYTES;

/**
 * The arguments of the two qemu-img commands that grow a disk over the memory behind its end and shrink it again to
 * its size, which frees the memory. The VM must be off.
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
 * The image, if resizing it can free the memory; null where qemu-img cannot resize it, or a grown disk would show
 * data of the backing file.
 */
export function resizable(image: DiskImage | undefined): Image | null {
  if (image?.kind !== 'seen') return null;
  const [top, below] = image.chain;
  return top.encrypted || (below && below.virtualBytes > top.virtualBytes) ? null : top;
}
