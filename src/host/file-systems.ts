import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Context } from '../run/context.ts';
import { roomAt } from './files.ts';

/** A file system of this host, sizes in bytes. */
export interface FileSystem {
  readonly id: string;
  readonly sizeBytes: number;
  /** What an ordinary user may still write. */
  readonly freeBytes: number;
}

/** A file system of this host, and the directory that it is mounted on. */
export interface MountedFileSystem extends FileSystem {
  readonly mountPoint: string;
}

/**
 * The file system of a file at an absolute path, as `df` shows it. Null for what is no file (a block device), or out of
 * reach.
 */
export async function fileSystemOf(
  path: string,
  ctx: Pick<Context, 'stat'>,
): Promise<MountedFileSystem | null> {
  const placed = await placeOf(path).catch(() => null);
  const room = placed && (await roomAt(placed.real, ctx));
  return room && { ...placed.mount, ...room };
}

async function placeOf(path: string) {
  const real = await realpath(path);
  if (!(await stat(real)).isFile()) return null;
  // by its directory: a file of an overlayfs can have a device number of its own
  return { real, mount: await mountOf(dirname(real)) };
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
