import { mebibytes } from '../model/rule.ts';
import { externalDisks, internalDisks, locationOf, type Snapshot, stateFile } from '../model/snapshot.ts';

/**
 * Decides whether the files of an external snapshot still hold its state. The existence of a file proves nothing: an
 * interrupted merge may have written half of another state into it, or a VM that was put back on it may have changed
 * it.
 */

/** The facts about the file that keeps one disk of an external snapshot. */
export interface StateFile {
  readonly target: string;
  readonly path: string;
  /** Whether the VM's disk is this same file now, by device and inode. */
  readonly isInUse: boolean;
  /** When it was last written to, in seconds since the epoch; null if that is unknown. */
  readonly writtenAtSeconds: number | null;
  /**
   * The latest time of a write by libvirt itself, which records a snapshot again after each merge into its file. It includes a
   * tolerance for what is measured.
   */
  readonly knownUntilSeconds: number;
  /** When the file was made; null if that is unknown. */
  readonly madeAtSeconds?: number | null;
  /** The latest time at which the file may have been put there together with libvirt's record of the snapshot. */
  readonly placedUntilSeconds?: number;
  /** The size of the disk in the file, and in the overlay that libvirt made as large; absent if unknown. */
  readonly diskBytes?: { readonly state: number; readonly overlay: number };
  /** What is wrong with the content of a qcow2 file; null if nothing is known to be wrong. */
  readonly damage?: string | null;
  /** Whether it is a backing file of the file with the state, and so holds a part of it. */
  readonly isBelow?: true;
  /**
   * Whether the overlay on top of it was made later than libvirt made it, too. Then all the files were copied or moved, and the
   * time at which they were made shows nothing.
   */
  readonly isCopiedWithOverlay?: true;
}

/** Whether a file can be made in a directory, as far as the host tells. `blocked`: on its path lies a file. */
export type DirectoryState = 'fine' | 'missing' | 'blocked' | 'read-only' | 'immutable';

/** The directory in which a revert to an external snapshot makes an overlay of a file. */
export interface OverlayTarget {
  readonly target: string;
  readonly path: string;
  /** False if it is not a regular file: then libvirt makes no name for an overlay. */
  readonly isFile: boolean;
  readonly directory: DirectoryState;
  /** Free bytes of the file system, including those reserved for root; absent if unknown. */
  readonly freeBytes?: number | null;
}

/** A merge into an overlay that was interrupted. */
export interface InterruptedMerge {
  /** The snapshot that made the overlay; libvirt marks it. */
  readonly marked: string;
  readonly target: string;
  /** The overlay, half written. */
  readonly path: string;
  /** The snapshots whose state the overlay was; one of them was to be deleted. */
  readonly ruined: readonly string[];
}

/** The interrupted merges that libvirt has marked (`<snapshotDeleteInProgress/>`). */
export function interruptedMerges(snapshots: readonly Snapshot[]): InterruptedMerge[] {
  return snapshots.flatMap((marked) =>
    externalDisks(marked).flatMap(({ target, source, isMergeTarget }) => {
      if (!isMergeTarget || source === null) return [];
      const ruined = snapshots.filter((each) => keepsIn(each, target, source)).map(({ name }) => name);
      return [{ marked: marked.name, target, path: source, ruined }];
    }),
  );
}

/** Whether a snapshot keeps this disk in that file, because it made an overlay of the file. */
export const keepsIn = (snapshot: Snapshot, target: string, path: string): boolean =>
  externalDisks(snapshot).some((disk) => disk.target === target && stateFile(snapshot, disk) === path);

/** A later snapshot that was taken while this file was in use, so that the VM has changed it; null if there is none. */
export function takenOnItLater(
  snapshots: readonly Snapshot[],
  snapshot: Snapshot,
  { target, path }: Pick<StateFile, 'target' | 'path'>,
): string | null {
  const later = snapshots.find(
    (other) =>
      other.name !== snapshot.name &&
      other.createdAtSeconds > snapshot.createdAtSeconds &&
      (keepsIn(other, target, path) ||
        internalDisks(other).some((disk) => disk.target === target && disk.source === path)),
  );
  return later?.name ?? null;
}

/** Whether it was written to since the snapshot was taken, other than by libvirt itself. */
export const isWrittenSince = ({ writtenAtSeconds, knownUntilSeconds }: StateFile): boolean =>
  writtenAtSeconds !== null && writtenAtSeconds > knownUntilSeconds;

/** A time in UTC, for a sentence. */
export const secondsText = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');

/** The signs that a file is not what the snapshot left, each with the words for it; the surest first. */
const SIGNS: readonly ((state: StateFile) => string | null)[] = [
  ({ damage = null }) => (damage === null ? null : `has lost a part of its content: ${damage}`),
  (state) =>
    isWrittenSince(state) ? `was written to later (${secondsText(state.writtenAtSeconds ?? 0)})` : null,
  ({ madeAtSeconds = null, placedUntilSeconds = Number.POSITIVE_INFINITY, isCopiedWithOverlay }) =>
    madeAtSeconds !== null && madeAtSeconds > placedUntilSeconds && !isCopiedWithOverlay
      ? `is another file, which was made later (${secondsText(madeAtSeconds)})`
      : null,
  ({ diskBytes }) =>
    diskBytes && diskBytes.state > diskBytes.overlay
      ? `is larger (${mebibytes(diskBytes.state)}) than the overlay on top of it (${mebibytes(diskBytes.overlay)}), which libvirt made as large`
      : null,
];

/** How the file shows that it was changed since the snapshot was taken; null if nothing shows that. */
export const changeSince = (state: StateFile): string | null =>
  SIGNS.map((sign) => sign(state)).find((words) => words !== null) ?? null;

/**
 * Whether it can hold the state although the VM uses this file: nothing was written in or after the second of the
 * snapshot.
 */
export function isUntouched({ createdAtSeconds }: Snapshot, { writtenAtSeconds }: StateFile): boolean {
  return writtenAtSeconds !== null && writtenAtSeconds < createdAtSeconds;
}

/**
 * Whether a deletion was merging into a backing file when it was interrupted. What it wrote there is still in the overlay above as
 * well, so the state on top of that overlay is complete.
 */
export const isBeingMerged = (snapshots: readonly Snapshot[], { isBelow, path }: StateFile): boolean =>
  isBelow === true && interruptedMerges(snapshots).some((merge) => merge.path === path);

/** Whether no known fact contradicts that the files of this snapshot hold its state. */
export function isProven(
  snapshots: readonly Snapshot[],
  snapshot: Snapshot,
  states: readonly StateFile[],
): boolean {
  const isRuined = interruptedMerges(snapshots).some(({ ruined }) => ruined.includes(snapshot.name));
  return (
    locationOf(snapshot) === 'internal' ||
    (!isRuined &&
      states.every(
        (state) =>
          (changeSince(state) === null || isBeingMerged(snapshots, state)) &&
          (state.isBelow ||
            ((!state.isInUse || isUntouched(snapshot, state)) &&
              takenOnItLater(snapshots, snapshot, state) === null)),
      ))
  );
}

/**
 * The files that libvirt removes in a revert to an external snapshot (qemuSnapshotRevertExternalFinish): the overlays
 * that the current snapshot names, whoever else uses them; none if the current snapshot is internal.
 */
export function removedByRevert(
  snapshots: readonly Snapshot[],
  snapshot: Snapshot,
  current: string | null,
): string[] {
  const now = snapshots.find(({ name }) => name === current);
  if (!now || locationOf(snapshot) === 'internal') return [];
  return now.revertOverlays
    ? [...now.revertOverlays]
    : externalDisks(now).flatMap(({ source }) => source ?? []);
}
