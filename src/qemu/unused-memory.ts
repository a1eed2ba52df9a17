import type { DiskImage, Image } from '../model/image.ts';
import { commandLine } from '../model/quote.ts';

/**
 * Memory in an image, behind the end of the disk, that belongs to no snapshot: a save that failed leaves it (hazard 7), and
 * so does a snapshot that is deleted after a revert to it, which had the image itself refer to its memory too.
 */

export interface UnusedMemory {
  /** Clusters that the image itself refers to and no snapshot does. */
  readonly bytes: number;
  /** Where they end in the address space of the guest's disk. */
  readonly endBytes: number;
}

/** Less than this is not worth a word. */
const LEAST_BYTES = 1024 * 1024;

export const isNotable = ({ bytes }: UnusedMemory): boolean => bytes >= LEAST_BYTES;

/**
 * The arguments for qemu-img that grow a disk over what is left behind its end, and cut it off again at its size, which
 * frees that. The VM must be off.
 */
export function freeUnusedMemoryArguments(path: string, virtualBytes: number, growBytes: number): string[][] {
  return [
    ['resize', '-f', 'qcow2', path, `+${growBytes}`],
    ['resize', '-f', 'qcow2', '--shrink', path, String(virtualBytes)],
  ];
}

/** The same as a line for a shell. */
export const freeUnusedMemoryLine = ({ path, virtualBytes }: Image, { endBytes }: UnusedMemory): string =>
  freeUnusedMemoryArguments(path, virtualBytes, endBytes - virtualBytes)
    .map((args) => commandLine('qemu-img', args))
    .join(' && ');

/** The image that can give it back; null where qemu-img cannot resize it, or growing it would show something else. */
export function resizable(image: DiskImage | undefined): Image | null {
  if (image?.kind !== 'seen') return null;
  const [top, below] = image.chain;
  return top.encrypted || (below && below.virtualBytes > top.virtualBytes) ? null : top;
}
