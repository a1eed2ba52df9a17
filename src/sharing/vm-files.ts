import type { NamedFile } from '../model/domain-files.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { OtherVm, UseKind } from './image-users.ts';

/** Which files a VM uses, and how: from its definitions, from the definitions stored with its snapshots, and from backing chains. */

/** A snapshot with the files that its stored definitions name. */
export interface StoredSnapshot extends Pick<Snapshot, 'name' | 'disks' | 'memory' | 'definedDisks'> {
  readonly files: readonly NamedFile[];
}

export interface VmDefinitions {
  readonly vm: OtherVm;
  /** The files of the running QEMU; null while the VM is off. */
  readonly live: readonly NamedFile[] | null;
  /** The files of the next start. */
  readonly inactive: readonly NamedFile[];
  /** The files of its managed save, which the next start uses instead; empty if it has none. */
  readonly saved: readonly NamedFile[];
  readonly snapshots: readonly StoredSnapshot[];
}

/** One use of one file. */
export interface FileUse {
  readonly path: string;
  readonly kind: UseKind;
  readonly target: string | null;
  readonly open: boolean;
  readonly writes: boolean;
  readonly snapshot: string | null;
}

/** A file below an image: a backing file, or a separate file with the data of the image or of a backing file. */
export interface FileBelow {
  readonly path: string;
  readonly kind: 'below' | 'data';
  /** Whether it is the data file of the image itself, to which QEMU writes what is written to the image. */
  readonly isOwn: boolean;
}

/** The files below an image, the nearest first. */
export type Beneath = (path: string, format: string | null) => readonly FileBelow[];

/** All uses of files by a VM; a file may appear several times, and under several paths. */
export function filesUsed({ live, inactive, saved, snapshots }: VmDefinitions, beneath: Beneath): FileUse[] {
  return [
    ...(live ?? []).flatMap((file) => definitionUses(file, true, beneath)),
    ...inactive.flatMap((file) => definitionUses(file, false, beneath)),
    ...saved.flatMap((file) =>
      definitionUses(file, false, beneath).map((use) => ({ ...use, kind: 'saved' as const })),
    ),
    ...snapshots.flatMap((snapshot) => snapshotUses(snapshot, beneath)),
  ];
}

/** The images whose backing chains `filesUsed` needs. */
export const imagesOf = ({ live, inactive, saved, snapshots }: VmDefinitions): NamedFile[] => [
  ...(live ?? []),
  ...inactive,
  ...saved,
  ...snapshots.flatMap(({ files, disks }) => [
    ...files,
    // an overlay is qcow2, whatever the disk was
    ...disks.flatMap(({ source, target }) =>
      source === null
        ? []
        : [{ path: source, format: 'qcow2', target, readonly: false, nvram: false, below: false }],
    ),
  ]),
];

/**
 * The same for all VMs, without the images that a present definition calls raw: the guest of such a disk may have written a
 * header that an older definition would follow.
 */
export function imagesToFollow(vms: readonly VmDefinitions[]): NamedFile[] {
  const now = vms.flatMap(({ live, inactive }) => [...(live ?? []), ...inactive]);
  const pathsOf = (isWanted: (format: string | null) => boolean) =>
    new Set(now.filter(({ format }) => isWanted(format)).map(({ path }) => path));
  const raw = pathsOf((format) => format === 'raw');
  const others = pathsOf((format) => format !== 'raw' && format !== null);
  return vms.flatMap(imagesOf).filter(({ path }) => !raw.has(path) || others.has(path));
}

function definitionUses(file: NamedFile, open: boolean, beneath: Beneath): FileUse[] {
  const { path, format, target } = file;
  const use = { target, open, writes: !file.readonly, snapshot: null };
  return [
    { ...use, path, kind: file.below ? 'below' : 'disk' },
    ...beneath(path, format).map(
      (below): FileUse => ({ ...use, path: below.path, kind: below.kind, writes: use.writes && below.isOwn }),
    ),
  ];
}

const pathsBelow = (beneath: Beneath, path: string, format: string | null): string[] =>
  beneath(path, format).map((below) => below.path);

/**
 * The files that a snapshot needs. The overlays of a revert to it do not belong to it: one that the VM does not use any more
 * was left behind (hazard 23).
 */
function snapshotUses(snapshot: StoredSnapshot, beneath: Beneath): FileUse[] {
  const { name, memory, disks, files } = snapshot;
  const use = (path: string, kind: UseKind, target: string | null): FileUse => ({
    path,
    kind,
    target,
    open: false,
    writes: false,
    snapshot: name,
  });
  const defined = new Map(files.flatMap((file) => (file.target === null ? [] : [[file.target, file]])));
  const ofDisks = disks.flatMap(({ target, location, source }): FileUse[] => {
    const file = defined.get(target);
    if (location === 'external') {
      const state = file?.path ?? null;
      const made = source === null ? [] : [use(source, 'named', target)];
      if (state === null) return made;
      return [
        ...made,
        ...[state, ...pathsBelow(beneath, state, file?.format ?? null)].map((path) =>
          use(path, 'state', target),
        ),
      ];
    }
    const holder = location === 'internal' ? (source ?? file?.path ?? null) : null;
    if (holder === null) return [];
    return [
      use(holder, 'tags', target),
      ...pathsBelow(beneath, holder, 'qcow2').map((path) => use(path, 'state', target)),
    ];
  });
  const isInternal = disks.some(({ location }) => location === 'internal');
  const ofNvram = files
    .filter(({ nvram, format }) => nvram && format === 'qcow2' && isInternal)
    .map(({ path }) => use(path, 'tags', null));
  return [
    ...ofDisks,
    ...ofNvram,
    ...(memory.location === 'external' && memory.file !== null ? [use(memory.file, 'state', null)] : []),
    ...files.map(({ path, target }) => use(path, 'named', target)),
  ];
}

/** Merges the uses of one kind, with all their snapshots; uses of the kind `named` are dropped if there are others. */
export function mergeUses<U extends FileUse>(
  uses: readonly U[],
): (Omit<U, 'snapshot'> & { readonly snapshots: readonly string[] })[] {
  const merged = new Map<string, Omit<U, 'snapshot'> & { snapshots: string[] }>();
  for (const { snapshot, ...use } of uses) {
    const key = `${use.kind} ${use.target}`;
    const known = merged.get(key);
    const snapshots = [...new Set([...(known?.snapshots ?? []), ...(snapshot === null ? [] : [snapshot])])];
    merged.set(key, {
      ...use,
      open: use.open || (known?.open ?? false),
      writes: use.writes || (known?.writes ?? false),
      snapshots,
    });
  }
  const all = [...merged.values()];
  return all.some(({ kind }) => kind !== 'named') ? all.filter(({ kind }) => kind !== 'named') : all;
}
