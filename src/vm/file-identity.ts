import { resolve } from 'node:path';
import type { HostFiles } from '../host/files.ts';
import type { FileKey } from './same-files.ts';

/** Which file a path names on this host. Two paths may name one file, by a link, a mount or `..`; and a path is no file. */

/**
 * Asks the file system which files these absolute paths name: a file by its device and inode, a block device by its own
 * number. A path that names nothing, or cannot be reached, is known by its text alone, without `..` in it; so is a path
 * that was not among these.
 */
export async function identifyFiles(files: HostFiles, paths: Iterable<string>): Promise<FileKey> {
  const unique = [...new Set(paths)];
  const keys = new Map(
    await Promise.all(unique.map(async (path) => [path, await keyOf(files, path)] as const)),
  );
  return (path) => keys.get(path) ?? resolve(path);
}

/** Where no path is one of this host's. */
export const byText: FileKey = (path) => path;

async function keyOf(files: HostFiles, path: string): Promise<string> {
  try {
    return (await files.stat(path)).identity;
  } catch {
    return resolve(path);
  }
}
