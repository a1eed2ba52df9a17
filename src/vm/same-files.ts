import type { Snapshot } from '../model/snapshot.ts';

/** Gives each file one path, although several paths may lead to it. */

/** The identity of a file: equal for two paths to the same file. */
export type FileKey = (path: string) => string;

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
  const names = new Map(known.toReversed().map((path) => [key(path), path]));
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
