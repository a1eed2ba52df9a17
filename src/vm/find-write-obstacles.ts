import { constants, type Stats } from 'node:fs';
import { access, open, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { mostFreeBytes } from '../host/files.ts';
import { mountOf } from '../host/mounts.ts';
import type { ObstacleKind, WriteObstacle, WriteObstacles } from '../model/write-obstacles.ts';
import { deviceDirectory } from '../qemu/image-file.ts';
import { hasRoom } from '../qemu/image-room.ts';
import { isRemote } from './disks.ts';

/** Finding out, without writing, whether files can be written to and added to. */

/** What is to be added to the images; null: nothing. `byRoot`: what a file system keeps back for root can be used too. */
export interface Growth {
  readonly adds: 'snapshot' | 'table' | null;
  readonly byRoot: boolean;
}

/** Looks at absolute paths of files and block devices; those of another host are not looked at. */
export async function readWriteObstacles(
  uri: string,
  paths: Iterable<string | null>,
  growth: Growth = { adds: null, byRoot: true },
): Promise<WriteObstacles> {
  if (isRemote(uri)) return new Map();
  const unique = [...new Set(paths)].filter((path) => path !== null);
  const found = await Promise.all(
    unique.map(async (path) => [path, await obstacleAt(uri, path, growth)] as const),
  );
  return new Map(found.flatMap(([path, obstacle]) => (obstacle ? [[path, obstacle] as const] : [])));
}

async function obstacleAt(uri: string, path: string, growth: Growth): Promise<WriteObstacle | null> {
  const found = await stat(path).catch(() => null);
  if (!found) return null; // that it is missing is told elsewhere
  const obstacle = found.isBlockDevice()
    ? await ofDevice(path, found)
    : found.isFile()
      ? await ofFile(path, isSession(uri))
      : null;
  return obstacle ?? (growth.adds === null ? null : roomObstacle(path, found, growth));
}

/** Its QEMU is of the user who asks. */
const isSession = (uri: string): boolean => /^[a-z+]+:\/\/\/session\b/i.test(uri);

async function ofDevice(path: string, { rdev }: Stats): Promise<WriteObstacle | null> {
  const flag = await readFile(`${deviceDirectory(rdev)}/ro`, 'utf8').catch(() => '0');
  // the kernel lets those write on who have it open
  return flag.trim() === '1' ? { kind: 'read-only-device', place: path, stopsOpenFiles: false } : null;
}

/** ext2 to ext4 and F2FS (statfs(2)) refuse a write to an immutable file that was opened before. */
const MINDS_OPEN_FILES: ReadonlySet<number> = new Set([0xef53, 0xf2f52010]);
/** overlayfs copies a file up when it is opened for writing. */
const OVERLAYFS = 0x794c7630;

async function ofFile(path: string, isOwn: boolean): Promise<WriteObstacle | null> {
  const place = await realpath(path).catch(() => path);
  const { type } = await statfs(place).catch(() => ({ type: 0 }));
  const refusal = await refusedAt(place);
  switch (refusal) {
    case 'EROFS':
      return ofReadOnly(place);
    case 'EPERM':
      return { kind: 'immutable', place, stopsOpenFiles: MINDS_OPEN_FILES.has(type) };
    case 'EACCES':
      // libvirtd of the system is another user
      return isOwn ? { kind: 'permission', place, stopsOpenFiles: false } : null;
    case null:
      return type === OVERLAYFS ? null : ofOpening(place);
    default:
      return null;
  }
}

/** access(2) tells of read-only file systems and immutable files, whoever asks; null: it may be written to. */
const refusedAt = (path: string): Promise<string | null> =>
  access(path, constants.W_OK).then(
    () => null,
    ({ code }: NodeJS.ErrnoException) => code ?? 'unknown',
  );

/** What only an attempt shows. Nothing is written, and a file whose lease another holds is not waited for. */
async function ofOpening(place: string): Promise<WriteObstacle | null> {
  try {
    await (await open(place, constants.O_WRONLY | constants.O_NONBLOCK)).close();
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EPERM' ? { kind: 'append-only', place, stopsOpenFiles: false } : null;
  }
}

async function ofReadOnly(path: string): Promise<WriteObstacle> {
  const mount = await mountOf(path);
  return mount?.isReadOnly && !mount.isFileSystemReadOnly
    ? { kind: 'read-only-mount', place: mount.point, stopsOpenFiles: false }
    : { kind: 'read-only-file-system', place: mount?.point ?? path, stopsOpenFiles: true };
}

/** The smallest block of a file system that is not as good as full. */
const FULL_BELOW_BYTES = 64 * 1024;

async function roomObstacle(
  path: string,
  found: Stats,
  { adds, byRoot }: Growth,
): Promise<WriteObstacle | null> {
  const full = (kind: ObstacleKind, place: string): WriteObstacle => ({ kind, place, stopsOpenFiles: true });
  if (adds === null) return null;
  if (found.isBlockDevice()) return (await hasRoom(path, adds)) === false ? full('full-device', path) : null;
  const bytes = await mostFreeBytes(path, byRoot);
  if (bytes === null || bytes >= FULL_BELOW_BYTES) return null;
  if ((await hasRoom(path, adds, bytes)) !== false) return null;
  const place = await realpath(path).catch(() => path);
  return full('full-file-system', (await mountOf(place))?.point ?? place);
}
