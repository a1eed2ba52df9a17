import { type HostFiles, hasOwnClock, unlessOurs, writtenAt } from '../host/files.ts';
import { recordFile } from '../libvirt/xml/record-file.ts';
import { chainOf, type Images } from '../model/image.ts';
import { externalDisks, locationOf, type Snapshot, stateFile, stateFormat } from '../model/snapshot.ts';
import { damageIn } from '../qemu/image-damage.ts';
import { readOwn } from '../qemu/own-reader.ts';
import { isRemote } from '../vm/disks.ts';
import type { StateFile } from '../vm/external-state.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import type { Vm } from '../vm/load.ts';

/**
 * Inspects the files that contain the disk state of a snapshot: whether the VM uses one of them now, and whether they are as the
 * snapshot left them. `images`: by target, the image with the state. For an internal snapshot, only the backing files are inspected.
 * Files on another host, and what is not a file, are left out.
 */
export async function readStates(
  { files }: { readonly files: HostFiles },
  { uri, domain, snapshots }: Pick<Vm, 'uri' | 'domain' | 'snapshots'>,
  snapshot: Snapshot,
  images: Images,
): Promise<StateFile[]> {
  if (isRemote(uri)) return [];
  const stored = partsOf(snapshot, images);
  const isInternal = locationOf(snapshot) === 'internal';
  if (stored.length === 0) return [];
  const active = domain.disks.flatMap(({ source }) => source ?? []);
  const key = await identifyFiles(files, [...stored.map(({ path }) => path), ...active]);
  const inUse = new Set(active.map(key));
  return Promise.all(
    stored.map(async ({ target, path, overlay, format, isBelow }): Promise<StateFile> => {
      const isInUse = inUse.has(key(path));
      const found = await files.stat(path).catch(unlessOurs);
      const isFile = found?.kind === 'file';
      const records = [snapshot, ...keptIn(snapshots, target, path)];
      const [known, sizes, damage] = await Promise.all([
        readKnown(files, uri, domain.name, { snapshot, records, path, overlay }),
        isFile && !isBelow && overlay !== null ? readSizes(files, { path, format }, overlay) : null,
        isInUse || isInternal || format !== 'qcow2' ? null : damageIn(files, path),
      ]);
      return {
        ...{ target, path, isInUse, damage, ...known },
        ...(isBelow && { isBelow }),
        writtenAtSeconds: isFile ? found.writtenAt / 1000 : null,
        madeAtSeconds: isFile && found.madeAt !== null ? found.madeAt / 1000 : null,
        ...(sizes && { diskBytes: sizes }),
      };
    }),
  );
}

interface Part {
  readonly target: string;
  readonly path: string;
  readonly format: string;
  /** The file on top of it. */
  readonly overlay: string | null;
  readonly isBelow?: true;
}

/** The files with the state of an external snapshot, and the backing files of any snapshot. */
function partsOf(snapshot: Snapshot, images: Images): Part[] {
  const tops = externalDisks(snapshot).flatMap((disk): Part[] => {
    const path = stateFile(snapshot, disk);
    return path === null
      ? []
      : [{ target: disk.target, path, overlay: disk.source, format: stateFormat(snapshot, disk) }];
  });
  const below = snapshot.disks.flatMap(({ target }) =>
    chainOf(images.get(target)).flatMap(({ path, format }, i, chain): Part[] => {
      const above = chain[i - 1];
      return above === undefined ? [] : [{ target, path, format, overlay: above.path, isBelow: true }];
    }),
  );
  return [...tops, ...below];
}

/**
 * The snapshots with an internal state in a file: when libvirt deletes one of them, it writes to the file and records the others
 * again. After a merge into a file, it records those again that keep their state in it.
 */
const keptIn = (snapshots: readonly Snapshot[], target: string, path: string): Snapshot[] =>
  snapshots.filter((each) =>
    each.disks.some((disk) => disk.target === target && stateFile(each, disk) === path),
  );

interface Origin {
  readonly snapshot: Snapshot;
  /** The snapshots that libvirt records again when it writes to the file. */
  readonly records: readonly Snapshot[];
  readonly path: string;
  readonly overlay: string | null;
}

/**
 * How late libvirt itself may have written to the file, or somebody may have put it there together with libvirt's records. If
 * the records cannot be read, the overlay shows it.
 */
async function readKnown(
  files: HostFiles,
  uri: string,
  vm: string,
  { snapshot, records, path, overlay }: Origin,
): Promise<Pick<StateFile, 'knownUntilSeconds' | 'placedUntilSeconds' | 'isCopiedWithOverlay'>> {
  const paths = records.flatMap(({ name }) => recordFile(uri, vm, name) ?? []);
  const read = await Promise.all(paths.map((each) => files.stat(each).catch(unlessOurs)));
  const found = read.filter((each) => each !== null);
  if (found.length === 0) {
    const until = ((overlay === null ? null : await writtenAt(files, overlay)) ?? 0) / 1000;
    return { knownUntilSeconds: Math.max(snapshot.createdAtSeconds, until) + ROUGHLY_SECONDS };
  }
  const times = found.map((each) => each.writtenAt / 1000);
  const isExact = times.some((time) => !Number.isInteger(time)) && (await hasOwnClock(files, path));
  const margin = isExact ? EXACTLY_SECONDS : ROUGHLY_SECONDS;
  // a backup that is put back makes all files anew, with their old times
  const placedUntilSeconds =
    Math.max(
      snapshot.createdAtSeconds,
      ...times,
      ...found.map(({ madeAt }) => (madeAt ?? Number.POSITIVE_INFINITY) / 1000),
    ) + margin;
  const above = overlay === null ? null : await files.stat(overlay).catch(unlessOurs);
  return {
    knownUntilSeconds: Math.max(snapshot.createdAtSeconds, ...times) + margin,
    placedUntilSeconds,
    ...((above?.madeAt ?? 0) / 1000 > placedUntilSeconds && { isCopiedWithOverlay: true as const }),
  };
}

/**
 * libvirt records a snapshot after the last write to its file: on one clock that is the order of the times. The tolerance is
 * for the ticks of that clock.
 */
const EXACTLY_SECONDS = 0.05;

/** Other file systems have a clock of their own, or whole seconds; and a snapshot is dated when it begins. */
const ROUGHLY_SECONDS = 2;

/** The sizes of the disk in the file and in the overlay; null if one of them is unknown. */
async function readSizes(
  files: HostFiles,
  { path, format }: { readonly path: string; readonly format: string },
  overlay: string,
): Promise<NonNullable<StateFile['diskBytes']> | null> {
  const [below, above] = await Promise.all([readOwn(files, path, format), readOwn(files, overlay, 'qcow2')]);
  if (below === null || above === null || typeof below === 'string' || typeof above === 'string') return null;
  const [state, size] = [below.image.virtualBytes, above.image.virtualBytes];
  return state === null || size === null ? null : { state, overlay: size };
}
