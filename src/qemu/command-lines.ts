import { commandLine } from '../model/quote.ts';

/**
 * The arguments of qemu-img for all that changes or copies an image. Each names the format of what it opens: a guest can
 * write the header of another one to its raw disk, and QEMU would open the files that this names.
 */

/** In QEMU's lists of options a comma ends a value, unless it is doubled. */
export const commaDoubled = (value: string): string => value.replaceAll(',', ',,');

/** Deletes a snapshot inside a qcow2 image, the first of that name; `qemu-img snapshot` takes no `-f` before QEMU 10.1. */
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

/** Copies what the guest sees of an image into a new one; `options` stand before the formats, such as `-U`. */
export const convertLine = (
  { path, format }: { readonly path: string; readonly format: string },
  target: string,
  ...options: string[]
): string => commandLine('qemu-img', ['convert', ...options, '-f', format, '-O', 'qcow2', path, target]);

/** Writes an overlay back into the image below it. */
export const commitLine = (overlay: string, format: string): string =>
  commandLine('qemu-img', ['commit', '-f', format, overlay]);

/** Makes an overlay. */
export const overlayLine = (
  overlay: string,
  over: { readonly path: string; readonly format: string },
): string => commandLine('qemu-img', ['create', '-f', 'qcow2', '-F', over.format, '-b', over.path, overlay]);
