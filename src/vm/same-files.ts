import type { Snapshot } from '../model/snapshot.ts';

/** One file, one name: what two paths to the same file are called. */

/** What tells a file from every other: two paths to one file have the same. */
export type FileKey = (path: string) => string;

/**
 * The same snapshots, in which each file that is also among `known` (the paths that the VM uses now) is called by that
 * path. So paths can be compared as text ever after. How the stored definition itself spells it, which is what libvirt goes
 * by, stays in `spelled`.
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
