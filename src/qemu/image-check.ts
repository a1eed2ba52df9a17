import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { readHeader } from './qcow2/header.ts';

/** `qemu-img check` of a qcow2 image without its backing file. */

/** `isShared`: without a lock, so that another process can write to it meanwhile. */
export const checkArguments = (path: string, isShared: boolean): string[] => [
  'check',
  ...(isShared ? ['-U'] : []),
  '--output=json',
  `json:${JSON.stringify({ driver: 'qcow2', 'file.filename': path, backing: null })}`,
];

/** The exit code for errors that are not merely clusters that nothing uses. */
export const CORRUPT = 2;

/** The number of errors in the output that comes with CORRUPT; at least 1. */
export function corruptionsIn(output: string): number {
  const { corruptions } = JSON.parse(output) as { readonly corruptions?: number };
  return corruptions || 1;
}

/** Whether the reference counts of an image are not up to date (`lazy_refcounts`), which QEMU corrects before it writes. */
export async function isDirty(files: HostFiles, path: string): Promise<boolean> {
  const read = await withImageFile(files, path, (file) => readHeader(file).dirty);
  return 'value' in read && read.value;
}
