import { externalDisks, internalDisks, locationOf, type Snapshot, stateFile } from '../model/snapshot.ts';

/**
 * Whether the files of an external snapshot still hold what it kept. That a file is there proves nothing: a merge that was
 * interrupted has written half of another state into it, and a VM that was put back on it has written on.
 */

/** What is known of the file that keeps one disk of an external snapshot. */
export interface StateFile {
  readonly target: string;
  readonly path: string;
  /** The VM's disk is this very file now, by device and inode. */
  readonly isInUse: boolean;
  /** When it was last written to, in seconds since the epoch; null where that does not show. */
  readonly writtenAtSeconds: number | null;
  /** Until when libvirt accounts for what was written: it records a snapshot anew after each merge into its file. */
  readonly knownUntilSeconds: number;
}

/** Where a revert to an external snapshot lays an overlay over a file. */
export interface OverlayTarget {
  readonly target: string;
  readonly path: string;
  /** libvirt names no overlay for anything else. */
  readonly isFile: boolean;
  readonly directory: 'fine' | 'missing' | 'read-only' | 'immutable';
  /** Of the file system, with what is kept back for root; absent: not known. */
  readonly freeBytes?: number | null;
}

/** File systems keep their own time, and the last write of a snapshot may be in the second after its record. */
const MARGIN_SECONDS = 2;

/** A merge into an overlay that was not brought to its end. */
export interface InterruptedMerge {
  /** The snapshot that has made the overlay; libvirt marks it. */
  readonly marked: string;
  readonly target: string;
  /** The overlay, half written. */
  readonly path: string;
  /** The snapshots whose state it was: one of them was to be deleted. */
  readonly ruined: readonly string[];
}

/** What libvirt's marks (`<snapshotDeleteInProgress/>`) tell. */
export function interruptedMerges(snapshots: readonly Snapshot[]): InterruptedMerge[] {
  return snapshots.flatMap((marked) =>
    externalDisks(marked).flatMap(({ target, source, isMergeTarget }) => {
      if (!isMergeTarget || source === null) return [];
      const ruined = snapshots.filter((each) => keepsIn(each, target, source)).map(({ name }) => name);
      return [{ marked: marked.name, target, path: source, ruined }];
    }),
  );
}

/** Whether a snapshot keeps this disk in that file by having laid an overlay over it. */
const keepsIn = (snapshot: Snapshot, target: string, path: string): boolean =>
  externalDisks(snapshot).some((disk) => disk.target === target && stateFile(snapshot, disk) === path);

/** A snapshot that was taken later with this very file in use, so that the VM has run on it meanwhile; null: none. */
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

/** Whether it was written to since the snapshot was taken, beyond what libvirt accounts for. */
export function isWrittenSince({ writtenAtSeconds, knownUntilSeconds }: StateFile): boolean {
  return writtenAtSeconds !== null && writtenAtSeconds > knownUntilSeconds + MARGIN_SECONDS;
}

/** Whether it can hold the state although the VM's disk is this file: nothing was written in or after the snapshot's second. */
export function isUntouched({ createdAtSeconds }: Snapshot, { writtenAtSeconds }: StateFile): boolean {
  return writtenAtSeconds !== null && writtenAtSeconds < createdAtSeconds;
}

/** Whether nothing speaks against it that the files of this snapshot hold its state. */
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
          !isWrittenSince(state) &&
          (!state.isInUse || isUntouched(snapshot, state)) &&
          takenOnItLater(snapshots, snapshot, state) === null,
      ))
  );
}

/**
 * The files that libvirt removes in a revert to an external snapshot (qemuSnapshotRevertExternalFinish): the overlays that
 * the current snapshot names, whoever lies on them; nothing where the current one is internal.
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
