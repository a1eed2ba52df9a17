import { locationOf, type Snapshot } from './snapshot.ts';

/**
 * The hold of kvmsnap itself: as long as a run reads a snapshot, neither delete nor prune removes it. It ends with the process, and
 * is not the hold that a user sets.
 */
export interface Reader {
  /** The command that reads it, such as `export`. */
  readonly command: string;
  readonly processId: number;
  readonly sinceSeconds: number;
}

/** A run that reads a snapshot of a VM. */
export interface Reading extends Reader {
  readonly snapshot: string;
  /** It reads files of a chain, and a deletion of any external snapshot of the VM may change these. */
  readonly isExternal: boolean;
}

/** The runs that a deletion of the snapshot would disturb. */
export const readersOf = (readings: readonly Reading[], snapshot: Snapshot): Reader[] =>
  readings
    .filter(
      (reading) =>
        reading.snapshot === snapshot.name || (reading.isExternal && locationOf(snapshot) === 'external'),
    )
    .map(({ command, processId, sinceSeconds }) => ({ command, processId, sinceSeconds }));

/** `kvmsnap export (process 123)` */
export const readerInText = ({ command, processId }: Reader): string =>
  `kvmsnap ${command} (process ${processId})`;
