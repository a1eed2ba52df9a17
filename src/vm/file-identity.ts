import { resolve } from 'node:path';
import type { HostFiles } from '../host/files.ts';
import type { FileKey } from './same-files.ts';

/** Finds out which file a path names on this host. Two paths may name one file, because of a link, a mount or `..`. */

/**
 * Asks the file system which files these absolute paths name. A file is identified by its device and inode, a block
 * device by its number. A path that names nothing or cannot be reached is identified by its text without `..`, and so
 * is a path that was not among these.
 */
export async function identifyFiles(files: HostFiles, paths: Iterable<string>): Promise<FileKey> {
  const unique = [...new Set(paths)];
  const keys = new Map(
    await Promise.all(unique.map(async (path) => [path, await keyOf(files, path)] as const)),
  );
  return (path) => keys.get(path) ?? resolve(path);
}

/** The identities if no path is on this host. */
export const byText: FileKey = (path) => path;

async function keyOf(files: HostFiles, path: string): Promise<string> {
  try {
    return (await files.stat(path)).identity;
  } catch {
    return resolve(path);
  }
}
