import { commandLine } from './quote.ts';
import type { Finding } from './rule.ts';

/** Why the bytes that an action writes cannot go to a file, and what to do about it. */

/**
 * `read-only-mount`: it is mounted so here; its file system itself can be written to elsewhere. `full-device` and
 * `full-file-system`: what is there can be written over, and nothing can be added.
 */
export type ObstacleKind =
  | 'read-only-mount'
  | 'read-only-file-system'
  | 'read-only-device'
  | 'immutable'
  | 'append-only'
  | 'permission'
  | 'full-device'
  | 'full-file-system';

export interface WriteObstacle {
  readonly kind: ObstacleKind;
  /** What the cure is about: the mount point, the device, or the file itself without links. */
  readonly place: string;
  /** A QEMU that opened the file before cannot write to it either. */
  readonly stopsOpenFiles: boolean;
}

/** By path; a file without an obstacle, or of which nobody could tell, is not in it. */
export type WriteObstacles = ReadonlyMap<string, WriteObstacle>;

export const NO_OBSTACLES: WriteObstacles = new Map();

const isFull = ({ kind }: WriteObstacle): boolean => kind === 'full-device' || kind === 'full-file-system';

/** What is in the way of somebody who opens the file to write to what is in it. */
export function againstOpening(obstacles: WriteObstacles, path: string | null): WriteObstacle | null {
  const found = path === null ? undefined : obstacles.get(path);
  return found && !isFull(found) ? found : null;
}

/** What is in the way of a QEMU that has the file open already. */
export function againstOpenFile(obstacles: WriteObstacles, path: string | null): WriteObstacle | null {
  const found = againstOpening(obstacles, path);
  return found?.stopsOpenFiles ? found : null;
}

/** Nothing can be added to the file. */
export function againstGrowing(obstacles: WriteObstacles, path: string | null): WriteObstacle | null {
  const found = path === null ? undefined : obstacles.get(path);
  return found && isFull(found) ? found : null;
}

type Cure = Pick<Finding, 'hint' | 'command'>;

const WORDS: Readonly<Record<ObstacleKind, (place: string) => { readonly why: string } & Cure>> = {
  'read-only-mount': (place) => ({
    why: `${place} is mounted read-only`,
    hint: 'make it writable first',
    command: commandLine('mount', ['-o', 'remount,bind,rw', place]),
  }),
  'read-only-file-system': (place) => ({
    why: `the file system of ${place} is read-only`,
    hint: 'find out why (after an error of the disk the kernel makes a file system read-only: see dmesg), and make it writable first',
    command: commandLine('findmnt', ['--target', place]),
  }),
  'read-only-device': (place) => ({
    why: `the device ${place} is read-only`,
    hint: 'make it writable first',
    command: commandLine('blockdev', ['--setrw', place]),
  }),
  immutable: (place) => ({
    why: `${place} is immutable (chattr +i)`,
    hint: 'if it may be changed, make it writable first',
    command: commandLine('chattr', ['-i', place]),
  }),
  'append-only': (place) => ({
    why: `${place} cannot be opened for writing (chattr +a: it is append-only)`,
    hint: 'if it may be changed, make it writable first',
    command: commandLine('chattr', ['-a', place]),
  }),
  permission: (place) => ({
    why: `${place} may not be written to by this user, who runs the VM`,
    hint: 'give this user the right to write first',
    command: commandLine('chmod', ['u+w', place]),
  }),
  'full-device': (place) => ({
    why: `the image fills the device ${place} to its end, and nothing can be added to it`,
    hint: 'make the device larger first (a logical volume with lvextend)',
  }),
  'full-file-system': (place) => ({
    why: `the file system of ${place} is full`,
    hint: 'free some space on it first; 1 MiB is enough',
    command: commandLine('df', ['-h', place]),
  }),
};

/** A finding: `subject` names the disk, `consequence` what would happen. */
function obstacleFinding(subject: string, { kind, place }: WriteObstacle, consequence: string): Finding {
  const { why, ...cure } = WORDS[kind](place);
  return { what: `${subject}: ${why}, so ${consequence}`, ...cure };
}

/** A disk with the file that is to be written to. */
export interface WrittenDisk {
  readonly target: string;
  readonly path: string | null;
}

/** What is in the way of a certain use of a file. */
export type Against = (obstacles: WriteObstacles, path: string | null) => WriteObstacle | null;

/** A finding for each disk that something stands in the way of: `consequence` is what would happen. */
export function obstacleFindings(
  obstacles: WriteObstacles | undefined,
  disks: readonly WrittenDisk[],
  against: Against,
  consequence: string,
): Finding[] {
  return disks.flatMap(({ target, path }) => {
    const obstacle = against(obstacles ?? NO_OBSTACLES, path);
    return obstacle ? obstacleFinding(`disk ${target} (${path})`, obstacle, consequence) : [];
  });
}
