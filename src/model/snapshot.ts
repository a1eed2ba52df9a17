import { formatOfDriver, type Volume } from './domain.ts';

/** A snapshot as libvirt's metadata tells it (`virsh snapshot-dumpxml`), before anything is known of the disks. */

/** Where a snapshot keeps a disk or the memory; `no` when it leaves it out. */
export type Location = 'internal' | 'external' | 'no' | (string & {});

export interface SnapshotDisk {
  readonly target: string;
  readonly location: Location;
  /** The overlay of an external snapshot; for an internal one the image that holds the tag. Null where no path is known. */
  readonly source: string | null;
  /** A deletion merges another overlay into this one, or was interrupted while it did. */
  readonly isMergeTarget?: true;
  /** The same file as libvirt's stored definition spells it, where that is another path. */
  readonly spelled?: string;
}

/** A disk of the definition stored with a snapshot. */
export interface DefinedDisk {
  readonly target: string;
  readonly source: string | null;
  readonly spelled?: string;
  /** `<driver type>`: the format that libvirt used then. */
  readonly driver: string | null;
  /** The files below it that the definition names, the nearest first; absent: none. */
  readonly backing?: readonly string[];
  /** Where the definition names a volume, and `source` is its path now. */
  readonly pool?: Volume;
}

export interface Snapshot {
  readonly name: string;
  readonly description: string | null;
  /** The VM's state when it was taken: `running`, `paused`, `shutoff`, or `disk-snapshot` (no memory). */
  readonly state: string;
  readonly parent: string | null;
  /** Seconds since the epoch, UTC. */
  readonly createdAtSeconds: number;
  readonly memory: { readonly location: Location; readonly file: string | null };
  readonly disks: readonly SnapshotDisk[];
  /** The disks that take part in a snapshot by the definition stored with it: what a revert brings back (hazard 16). */
  readonly definedDisks: readonly DefinedDisk[];
  /** The other disks of that definition: CD-ROMs with their medium, read-only ones; absent: none. */
  readonly otherDisks?: readonly Pick<DefinedDisk, 'target' | 'source'>[];
  /** The overlays that a revert to it has laid over its files, where the snapshot has children; absent: there are none. */
  readonly revertOverlays?: readonly string[];
  /** Of an external one, its files that are gone from their paths; absent: none is, or they were not looked for. */
  readonly movedFiles?: MovedFiles | undefined;
}

/** Files that libvirt looks for where they are not any more. */
export interface MovedFiles {
  /** Where libvirt looks, and the file that it means. */
  readonly moved: readonly (readonly [from: string, to: string])[];
  /** Paths of what it needs that are gone, and nothing proves where what they named is now. */
  readonly lost: readonly string[];
}

/** `external` as soon as anything of it is in a file of its own, which is how libvirt decides about revert and delete. */
export function locationOf(snapshot: Snapshot): 'internal' | 'external' {
  const parts = [snapshot.memory.location, ...snapshot.disks.map((disk) => disk.location)];
  return parts.includes('external') ? 'external' : 'internal';
}

/** What it is: as `locationOf`, but `disk-only` where the VM ran and its memory was not saved. */
export const kindOf = (snapshot: Snapshot): 'internal' | 'external' | 'disk-only' =>
  snapshot.state === 'disk-snapshot' ? 'disk-only' : locationOf(snapshot);

/**
 * The disks over which libvirt lays overlays in a revert to an external snapshot: all of the stored definition, whose path it
 * makes the overlay's of.
 */
export function overlaidDisks({
  definedDisks,
  otherDisks = [],
}: Pick<Snapshot, 'definedDisks' | 'otherDisks'>): { readonly target: string; readonly path: string }[] {
  const all: readonly Pick<DefinedDisk, 'target' | 'source' | 'spelled'>[] = [...definedDisks, ...otherDisks];
  return all.flatMap(({ target, source, spelled }) =>
    source === null ? [] : [{ target, path: spelled ?? source }],
  );
}

/** The disks that hold an internal tag of this snapshot. */
export function internalDisks(snapshot: Snapshot): readonly SnapshotDisk[] {
  return snapshot.disks.filter((disk) => disk.location === 'internal');
}

/** The disks whose state it keeps by having laid an overlay over them. */
export function externalDisks({ disks }: Pick<Snapshot, 'disks'>): readonly SnapshotDisk[] {
  return disks.filter((disk) => disk.location === 'external');
}

/**
 * The file that keeps the state of a disk: of an external one what its overlay was laid over, by the definition of then. A
 * revert lays one over the medium of a CD-ROM too.
 */
export function stateFile(
  { definedDisks, otherDisks = [] }: Pick<Snapshot, 'definedDisks' | 'otherDisks'>,
  { target, location, source }: SnapshotDisk,
): string | null {
  if (location !== 'external') return source;
  return [...definedDisks, ...otherDisks].find((disk) => disk.target === target)?.source ?? null;
}

/** The format of that file, by the definition of then. */
export function stateFormat(
  { definedDisks }: Pick<Snapshot, 'definedDisks'>,
  { target, location }: SnapshotDisk,
): string {
  const defined = definedDisks.find((disk) => disk.target === target);
  // nothing but qcow2 holds a snapshot inside
  return defined ? formatOfDriver(defined.driver) : location === 'internal' ? 'qcow2' : 'raw';
}

/** True when the guest's memory was saved with it. */
export function hasMemory(snapshot: Snapshot): boolean {
  return snapshot.memory.location === 'internal' || snapshot.memory.location === 'external';
}

/** The targets of the disks that a snapshot left to their storage. */
export const manualDisks = ({ disks }: Pick<Snapshot, 'disks'>): readonly string[] =>
  disks.filter(({ location }) => location === 'manual').map(({ target }) => target);

/** Whether it keeps the memory, and no disk. */
export const isOfMemoryAlone = (snapshot: Snapshot): boolean =>
  snapshot.memory.location === 'external' && snapshot.disks.length === 0;
