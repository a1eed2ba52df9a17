import { dirname } from 'node:path';
import { type Capacity, type HostFiles, unlessOurs } from './files.ts';

/** A file system of the host. */
export interface FileSystem extends Pick<Capacity, 'sizeBytes' | 'freeBytes'> {
  readonly id: string;
}

/** A file system of the host, with the directory on which it is mounted. */
export interface MountedFileSystem extends FileSystem {
  readonly mountPoint: string;
}

/**
 * The file system of a file at an absolute path, as `df` shows it. Null if it is not a file (but a block device) or
 * cannot be reached.
 */
export async function fileSystemOf(files: HostFiles, path: string): Promise<MountedFileSystem | null> {
  try {
    const real = await files.realpath(path);
    if ((await files.stat(real)).kind !== 'file') return null;
    // found through its directory, because a file of an overlayfs can have another device number
    const mount = await mountOf(files, dirname(real));
    const capacity = await files.capacity(real);
    return capacity && { ...mount, ...capacity };
  } catch (error) {
    return unlessOurs(error);
  }
}

/** The highest directory in this path that is on the same device. */
async function mountOf(
  files: HostFiles,
  directory: string,
): Promise<Pick<MountedFileSystem, 'id' | 'mountPoint'>> {
  const { fileSystemId } = await files.stat(directory);
  let mountPoint = directory;
  for (let above = dirname(mountPoint); above !== mountPoint; above = dirname(above)) {
    if ((await files.stat(above)).fileSystemId !== fileSystemId) break;
    mountPoint = above;
  }
  return { id: fileSystemId, mountPoint };
}
