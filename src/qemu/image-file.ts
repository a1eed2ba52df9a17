import { constants, readSync, type Stats } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import type { ImageBytes } from './qcow2/bytes.ts';

/** Opening an image to read some bytes of it: a regular file or a block device, and nothing else. */

export interface ImageFile {
  readonly image: ImageBytes;
  /** Bytes that it occupies on the host; 0 for a block device. */
  readonly allocatedBytes: number;
  readonly isDevice: boolean;
}

/** Why a path is not opened. */
export type Closed = 'permission' | 'missing' | 'no-file';

/** Hands the opened file to `read`, and closes it; or tells why it is not opened. */
export async function withImageFile<T>(
  path: string,
  read: (file: ImageFile) => T | Promise<T>,
): Promise<{ readonly value: T } | { readonly closed: Closed }> {
  let file: FileHandle | null = null;
  try {
    // opening a pipe would wait for a writer, or wake one
    if (!isImageFile(await stat(path))) return { closed: 'no-file' };
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const found = await file.stat();
    if (!isImageFile(found)) return { closed: 'no-file' };
    const size = found.isFile() ? found.size : await deviceBytes(found.rdev);
    return {
      value: await read({
        image: bytesOf(file, size),
        allocatedBytes: found.blocks * 512,
        isDevice: !found.isFile(),
      }),
    };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { closed: code === 'EACCES' || code === 'EPERM' ? 'permission' : 'missing' };
  } finally {
    await file?.close();
  }
}

const isImageFile = (found: Stats): boolean => found.isFile() || found.isBlockDevice();

/** Bytes of an opened file of that size. */
export const bytesOf = (file: FileHandle, size: number): ImageBytes => ({
  size,
  read: (offset, into) => readSync(file.fd, into, 0, into.length, offset),
});

/** The size of a block device, by its number. */
async function deviceBytes(device: number): Promise<number> {
  return Number(await readFile(`${deviceDirectory(device)}/size`, 'utf8')) * 512;
}

/** Where Linux tells of a block device, by its number (makedev(3), sysfs-block). */
export function deviceDirectory(device: number): string {
  const high = Math.floor(device / 2 ** 32);
  const low = device % 2 ** 32;
  const major = ((low >>> 8) & 0xfff) + (high & 0xfffff000);
  const minor = (low & 0xff) + (((low >>> 12) & 0xfff00) >>> 0);
  return `/sys/dev/block/${major}:${minor}`;
}
