import { commandLine } from './quote.ts';
import type { Finding } from './rule.ts';

/** Why an action cannot write to a file, and what to do about it. */

/**
 * `read-only-mount`: only this mount is read-only, not the file system itself. `full-device` and `full-file-system`:
 * existing data can be overwritten, but nothing can be added.
 */
export type ObstacleKind =
  | 'read-only-mount'
  | 'read-only-file-system'
  | 'read-only-device'
  | 'immutable'
  | 'append-only'
  | 'permission'
  | 'locked'
  | 'full-device'
  | 'full-file-system';

export interface WriteObstacle {
  readonly kind: ObstacleKind;
  /** What has to be changed: the mount point, the device, or the file itself without links. */
  readonly place: string;
  /** Whether a QEMU that opened the file before cannot write to it either. */
  readonly stopsOpenFiles: boolean;
}

/** By path; a file without an obstacle, or whose obstacles are unknown, is not in it. */
export type WriteObstacles = ReadonlyMap<string, WriteObstacle>;

export const NO_OBSTACLES: WriteObstacles = new Map();

const isFull = ({ kind }: WriteObstacle): boolean => kind === 'full-device' || kind === 'full-file-system';

/** The obstacle for a process that opens the file to overwrite data. */
export function againstOpening(obstacles: WriteObstacles, path: string | null): WriteObstacle | null {
  const found = path === null ? undefined : obstacles.get(path);
  return found && !isFull(found) ? found : null;
}

/** The obstacle for a QEMU that has the file open already. */
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
    hint: 'find out why (after a disk error the kernel makes a file system read-only; see dmesg), and make it writable first',
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
    why: `${place} cannot be opened for writing, because it is append-only (chattr +a)`,
    hint: 'if it may be changed, make it writable first',
    command: commandLine('chattr', ['-a', place]),
  }),
  permission: (place) => ({
    why: `${place} cannot be written to by this user, who runs the VM`,
    hint: 'give this user write permission first',
    command: commandLine('chmod', ['u+w', place]),
  }),
  locked: (place) => ({
    why: `another program has locked ${place}, because it reads or writes the image (such as qemu-nbd, qemu-img convert or a backup)`,
    hint: 'wait until it has finished, or end it; this shows which one it is',
    command: commandLine('fuser', ['-v', place]),
  }),
  'full-device': (place) => ({
    why: `the image fills the device ${place}, so nothing can be added to it`,
    hint: 'make the device larger first (for a logical volume: lvextend)',
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

/** A disk with the file to be written to. */
export interface WrittenDisk {
  readonly target: string;
  readonly path: string | null;
}

/** Finds the obstacle for a certain use of a file. */
export type Against = (obstacles: WriteObstacles, path: string | null) => WriteObstacle | null;

/** A finding for each disk with an obstacle; `consequence` is what would happen. */
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
