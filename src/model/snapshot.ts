import { formatOfDriver, type Volume } from './domain.ts';

/** A snapshot according to libvirt's metadata (`virsh snapshot-dumpxml`), before the disks are inspected. */

/** Where a snapshot keeps a disk or the memory; `no` if it is left out. */
export type Location = 'internal' | 'external' | 'no' | (string & {});

export interface SnapshotDisk {
  readonly target: string;
  readonly location: Location;
  /** The overlay of an external snapshot; for an internal one the image with the tag. Null if no path is known. */
  readonly source: string | null;
  /** The image on the network that the stored definition names (see `Disk`); absent if it names none. */
  readonly address?: string;
  /** Whether a deletion is merging another overlay into this one, or was interrupted while it did. */
  readonly isMergeTarget?: true;
  /** The path of the same file in libvirt's stored definition, if it is spelled differently. */
  readonly spelled?: string;
}

/** A disk of the definition stored with a snapshot. */
export interface DefinedDisk {
  readonly target: string;
  readonly source: string | null;
  readonly spelled?: string;
  /** `<driver type>`: the format that libvirt used at that time. */
  readonly driver: string | null;
  /** The backing files that the definition names, the nearest first; absent: none. */
  readonly backing?: readonly string[];
  /** The volume, if the definition names one; `source` is its present path. */
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
  /** The disks that take part in a snapshot according to its stored definition, which a revert brings back (hazard 16). */
  readonly definedDisks: readonly DefinedDisk[];
  /** The other disks of that definition: CD-ROMs with their medium, read-only ones; absent: none. */
  readonly otherDisks?: readonly Pick<DefinedDisk, 'target' | 'source'>[];
  /** The overlays that a revert to it has made, if the snapshot has children; absent: none. */
  readonly revertOverlays?: readonly string[];
  /** For an external snapshot, the files that are gone from their paths; absent: none, or not inspected. */
  readonly movedFiles?: MovedFiles | undefined;
}

/** Files that libvirt looks for at old paths. */
export interface MovedFiles {
  /** The old path, and the present path of the file. */
  readonly moved: readonly (readonly [from: string, to: string])[];
  /** Paths of needed files that are gone, and whose present paths are unknown. */
  readonly lost: readonly string[];
}

/** `external` if any part of it is in a separate file; libvirt decides in the same way about revert and delete. */
export function locationOf(snapshot: Snapshot): 'internal' | 'external' {
  const parts = [snapshot.memory.location, ...snapshot.disks.map((disk) => disk.location)];
  return parts.includes('external') ? 'external' : 'internal';
}

/** What it is: as `locationOf`, but `disk-only` where the VM ran and its memory was not saved. */
export const kindOf = (snapshot: Snapshot): 'internal' | 'external' | 'disk-only' =>
  snapshot.state === 'disk-snapshot' ? 'disk-only' : locationOf(snapshot);

/**
 * The disks for which libvirt makes overlays in a revert to an external snapshot: all disks of the stored definition,
 * with the paths from which libvirt derives the names of the overlays.
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

/** The disks whose state it keeps in the backing file of an overlay. */
export function externalDisks({ disks }: Pick<Snapshot, 'disks'>): readonly SnapshotDisk[] {
  return disks.filter((disk) => disk.location === 'external');
}

/**
 * The file that keeps the state of a disk: for an external snapshot, the backing file of the overlay, according to the
 * stored definition. A revert makes an overlay of the medium of a CD-ROM too.
 */
export function stateFile(
  { definedDisks, otherDisks = [] }: Pick<Snapshot, 'definedDisks' | 'otherDisks'>,
  { target, location, source }: SnapshotDisk,
): string | null {
  if (location !== 'external') return source;
  return [...definedDisks, ...otherDisks].find((disk) => disk.target === target)?.source ?? null;
}

/** The format of that file according to the stored definition. */
export function stateFormat(
  { definedDisks }: Pick<Snapshot, 'definedDisks'>,
  { target, location }: SnapshotDisk,
): string {
  const defined = definedDisks.find((disk) => disk.target === target);
  // only qcow2 can hold a snapshot inside
  return defined ? formatOfDriver(defined.driver) : location === 'internal' ? 'qcow2' : 'raw';
}

/** True if the guest's memory was saved with it. */
export function hasMemory(snapshot: Snapshot): boolean {
  return snapshot.memory.location === 'internal' || snapshot.memory.location === 'external';
}

/** The targets of the disks that a snapshot left to their storage. */
export const manualDisks = ({ disks }: Pick<Snapshot, 'disks'>): readonly string[] =>
  disks.filter(({ location }) => location === 'manual').map(({ target }) => target);

/** Whether it keeps only the memory and no disk. */
export const isOfMemoryAlone = (snapshot: Snapshot): boolean =>
  snapshot.memory.location === 'external' && snapshot.disks.length === 0;
