import { type HostFiles, writtenAt } from '../host/files.ts';
import { recordFile } from '../libvirt/xml/record-file.ts';
import { externalDisks, internalDisks, type Snapshot, stateFile } from '../model/snapshot.ts';
import { isRemote } from '../vm/disks.ts';
import type { StateFile } from '../vm/external-state.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import type { Vm } from '../vm/load.ts';

/**
 * Looks at the files that keep the disks of an external snapshot: whether a disk of the VM is on one of them now, and
 * when it was last written to. What is not on this host, or no file, is left out.
 */
export async function readStates(
  { files }: { readonly files: HostFiles },
  { uri, domain, snapshots }: Pick<Vm, 'uri' | 'domain' | 'snapshots'>,
  snapshot: Snapshot,
): Promise<StateFile[]> {
  if (isRemote(uri)) return [];
  const kept = externalDisks(snapshot).flatMap((disk) => {
    const path = stateFile(snapshot, disk);
    return path === null ? [] : [{ target: disk.target, path, overlay: disk.source }];
  });
  if (kept.length === 0) return [];
  const active = domain.disks.flatMap(({ source }) => source ?? []);
  const key = await identifyFiles(files, [...kept.map(({ path }) => path), ...active]);
  const inUse = new Set(active.map(key));
  return Promise.all(
    kept.map(async ({ target, path, overlay }) => ({
      target,
      path,
      isInUse: inUse.has(key(path)),
      writtenAtSeconds: await seconds(files, path),
      knownUntilSeconds: Math.max(
        snapshot.createdAtSeconds,
        await recordedAt(files, uri, domain.name, [snapshot, ...insideOf(snapshots, target, path)], overlay),
      ),
    })),
  );
}

/** The internal snapshots in a file: libvirt deletes them in it, and records the ones that stay anew. */
const insideOf = (snapshots: readonly Snapshot[], target: string, path: string): Snapshot[] =>
  snapshots.filter((each) =>
    internalDisks(each).some((disk) => disk.target === target && disk.source === path),
  );

/** When libvirt last recorded one of these; where its records cannot be read, when the overlay was last written to. */
async function recordedAt(
  hostFiles: HostFiles,
  uri: string,
  vm: string,
  snapshots: readonly Snapshot[],
  overlay: string | null,
): Promise<number> {
  const files = snapshots.flatMap(({ name }) => recordFile(uri, vm, name) ?? []);
  const times = (await Promise.all(files.map((file) => seconds(hostFiles, file)))).flatMap(
    (time) => time ?? [],
  );
  if (times.length > 0) return Math.max(...times);
  return (overlay === null ? null : await seconds(hostFiles, overlay)) ?? 0;
}

async function seconds(files: HostFiles, path: string): Promise<number | null> {
  const at = await writtenAt(files, path);
  return at === null ? null : at / 1000;
}
