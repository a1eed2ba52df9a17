import { type HostFiles, writtenAt } from '../host/files.ts';
import { recordFile } from '../libvirt/xml/record-file.ts';
import { externalDisks, internalDisks, type Snapshot, stateFile } from '../model/snapshot.ts';
import { isRemote } from '../vm/disks.ts';
import type { StateFile } from '../vm/external-state.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import type { Vm } from '../vm/load.ts';

/**
 * Inspects the files that contain the disk state of an external snapshot: whether the VM uses one of them now, and when it
 * was last written to. Files on another host, and what is not a file, are left out.
 */
export async function readStates(
  { files }: { readonly files: HostFiles },
  { uri, domain, snapshots }: Pick<Vm, 'uri' | 'domain' | 'snapshots'>,
  snapshot: Snapshot,
): Promise<StateFile[]> {
  if (isRemote(uri)) return [];
  const stored = externalDisks(snapshot).flatMap((disk) => {
    const path = stateFile(snapshot, disk);
    return path === null ? [] : [{ target: disk.target, path, overlay: disk.source }];
  });
  if (stored.length === 0) return [];
  const active = domain.disks.flatMap(({ source }) => source ?? []);
  const key = await identifyFiles(files, [...stored.map(({ path }) => path), ...active]);
  const inUse = new Set(active.map(key));
  return Promise.all(
    stored.map(async ({ target, path, overlay }) => ({
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

/** The internal snapshots in a file: when libvirt deletes one of them, it writes to the file and records the others again. */
const insideOf = (snapshots: readonly Snapshot[], target: string, path: string): Snapshot[] =>
  snapshots.filter((each) =>
    internalDisks(each).some((disk) => disk.target === target && disk.source === path),
  );

/** When libvirt last recorded one of these; if its records cannot be read, when the overlay was last written to. */
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
