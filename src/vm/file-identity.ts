import { basename, dirname, join, resolve } from 'node:path';
import { type HostFiles, unlessOurs } from '../host/files.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** Finds out which file a path names on this host. Two paths may name one file, because of a link, a mount or `..`. */

/** The identity of a file: equal for two paths to the same file. */
export type FileKey = (path: string) => string;

/**
 * Asks the file system which files these absolute paths name. A file is identified by its device and inode, a block
 * device by its number. A path at which there is nothing is identified by its directory and its name, one that
 * cannot be reached by its text without `..`, and so is a path that was not among these. The address of an image on the network is its own identity.
 */
export async function identifyFiles(files: HostFiles, paths: Iterable<string>): Promise<FileKey> {
  const unique = [...new Set(paths)];
  const keys = new Map(
    await Promise.all(unique.map(async (path) => [path, await keyOf(files, path)] as const)),
  );
  return (path) => keys.get(path) ?? (path.startsWith('/') ? resolve(path) : path);
}

/** The identities if no path is on this host. */
export const byText: FileKey = (path) => path;

async function keyOf(files: HostFiles, path: string): Promise<string> {
  if (!path.startsWith('/')) return path;
  try {
    return (await files.stat(path)).identity;
  } catch {
    const directory = await files.realpath(dirname(resolve(path))).catch(unlessOurs);
    return directory ? join(directory, basename(path)) : resolve(path);
  }
}

/**
 * The same snapshots, in which each file that is also among `known` (the paths that the VM uses now) has that path.
 * Afterwards paths can be compared as text. The spelling in the stored definition, which libvirt uses, stays in
 * `spelled`.
 */
export function callAlike<T extends Snapshot>(
  snapshots: readonly T[],
  known: readonly string[],
  key: FileKey,
): T[] {
  const names = new Map([...known].reverse().map((path) => [key(path), path]));
  const rename = <D extends { readonly source: string | null }>(disk: D): D => {
    const { source } = disk;
    const name = source === null ? undefined : names.get(key(source));
    return name === undefined || name === source ? disk : { ...disk, source: name, spelled: source };
  };
  return snapshots.map((snapshot) => ({
    ...snapshot,
    disks: snapshot.disks.map(rename),
    definedDisks: snapshot.definedDisks.map(rename),
  }));
}
