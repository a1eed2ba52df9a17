import { realpath, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileSystem } from '../core/free-space.ts';

/** A file system of this host, and the directory that it is mounted on. */
export interface MountedFileSystem extends FileSystem {
  readonly mountPoint: string;
}

/**
 * The file system of a file at an absolute path, as `df` shows it. Null for what is no file (a block device), or out of
 * reach.
 */
export async function fileSystemOf(path: string): Promise<MountedFileSystem | null> {
  try {
    const real = await realpath(path);
    if (!(await stat(real)).isFile()) return null;
    // by its directory: a file of an overlayfs can have a device number of its own
    const mount = await mountOf(dirname(real));
    const { blocks, bavail, bsize } = await statfs(real);
    return { ...mount, sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
  } catch {
    return null;
  }
}

/** The highest directory above, or this one, that is on the same device. */
async function mountOf(directory: string): Promise<{ readonly id: string; readonly mountPoint: string }> {
  const { dev } = await stat(directory);
  let mountPoint = directory;
  for (let above = dirname(mountPoint); above !== mountPoint; above = dirname(above)) {
    if ((await stat(above)).dev !== dev) break;
    mountPoint = above;
  }
  return { id: String(dev), mountPoint };
}
