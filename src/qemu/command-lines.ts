import { commandLine } from '../model/quote.ts';

/**
 * The arguments of qemu-img for everything that changes or copies an image. Each command names the format of what it
 * opens, because a guest can write the header of another format to its raw disk, and QEMU would open the files that
 * this header names.
 */

/** Doubles commas, because a single comma ends a value in QEMU's option lists. */
export const commaDoubled = (value: string): string => value.replaceAll(',', ',,');

/** Deletes the first snapshot of that name inside a qcow2 image. `qemu-img snapshot` has no `-f` before QEMU 10.1. */
export const deleteTagArguments = (name: string, path: string): string[] => [
  'snapshot',
  '-d',
  name,
  '--image-opts',
  `driver=qcow2,file.filename=${commaDoubled(path)}`,
];

/** The same as a line for a shell. */
export const deleteTagLine = (name: string, path: string): string =>
  commandLine('qemu-img', deleteTagArguments(name, path));

/** Copies the content of an image into a new one; `options`, such as `-U`, stand before the formats. */
export const convertLine = (
  { path, format }: { readonly path: string; readonly format: string },
  target: string,
  ...options: string[]
): string => commandLine('qemu-img', ['convert', ...options, '-f', format, '-O', 'qcow2', path, target]);

/** Merges an overlay into its backing file. */
export const commitLine = (overlay: string, format: string): string =>
  commandLine('qemu-img', ['commit', '-f', format, overlay]);

/** Makes an overlay. */
export const overlayLine = (
  overlay: string,
  over: { readonly path: string; readonly format: string },
): string => commandLine('qemu-img', ['create', '-f', 'qcow2', '-F', over.format, '-b', over.path, overlay]);
