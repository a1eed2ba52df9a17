import { dirname } from 'node:path';
import { type Capacity, type HostFiles, unlessOurs } from './files.ts';

/** A file system of the host. */
export interface FileSystem extends Pick<Capacity, 'sizeBytes' | 'freeBytes'> {
  readonly id: string;
}

/** A file system of the host, and the directory that it is mounted on. */
export interface MountedFileSystem extends FileSystem {
  readonly mountPoint: string;
}

/**
 * The file system of a file at an absolute path, as `df` shows it. Null for what is no file (a block device), or out of
 * reach.
 */
export async function fileSystemOf(files: HostFiles, path: string): Promise<MountedFileSystem | null> {
  try {
    const real = await files.realpath(path);
    if ((await files.stat(real)).kind !== 'file') return null;
    // by its directory: a file of an overlayfs can have a device number of its own
    const mount = await mountOf(files, dirname(real));
    const capacity = await files.capacity(real);
    return capacity && { ...mount, ...capacity };
  } catch (error) {
    return unlessOurs(error);
  }
}

/** The highest directory above, or this one, that is on the same device. */
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
