import { errorCode, type FileStatus, type HostFiles, mostFreeBytes } from '../host/files.ts';
import { isLockedAgainstWriting } from '../host/image-locks.ts';
import { mountOf } from '../host/mounts.ts';
import type { ObstacleKind, WriteObstacle, WriteObstacles } from '../model/write-obstacles.ts';
import { hasRoom } from '../qemu/image-room.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from './disks.ts';

/** Finds out, without writing, whether files can be overwritten and can grow. */

/**
 * What is to be added to the images; null: nothing. `byRoot`: the space that a file system reserves for root can be
 * used too.
 */
export interface Growth {
  readonly adds: 'snapshot' | 'table' | null;
  readonly byRoot: boolean;
  /** The VM is off, so that no QEMU of its own has locked its images. */
  readonly isOff?: boolean;
}

/** Inspects absolute paths of files and block devices; those of another host are left out. */
export async function readWriteObstacles(
  { files, clock }: Pick<Context, 'files' | 'clock'>,
  uri: string,
  paths: Iterable<string | null>,
  growth: Growth = { adds: null, byRoot: true },
): Promise<WriteObstacles> {
  if (isRemote(uri)) return new Map();
  const unique = [...new Set(paths)].filter((path) => path !== null);
  const found = await Promise.all(
    unique.map(async (path) => [path, await obstacleAt({ files, clock }, uri, path, growth)] as const),
  );
  return new Map(found.flatMap(([path, obstacle]) => (obstacle ? [[path, obstacle] as const] : [])));
}

async function obstacleAt(
  { files, clock }: Pick<Context, 'files' | 'clock'>,
  uri: string,
  path: string,
  growth: Growth,
): Promise<WriteObstacle | null> {
  const found = await files.stat(path).catch(() => null);
  if (!found) return null; // another check reports that it is missing
  const obstacle = found.device
    ? await ofDevice(files, path, found.device)
    : found.kind === 'file'
      ? await ofFile(files, path, isSession(uri))
      : null;
  if (obstacle) return obstacle;
  if (growth.isOff && (await staysLocked({ files, clock }, found)))
    return { kind: 'locked', place: path, stopsOpenFiles: false };
  return growth.adds === null ? null : roomObstacle(files, path, found, growth);
}

/** qemu-img, which libvirt runs for another command on the VM, holds its lock for a moment only. */
const LOOKS = 30;
const BETWEEN_LOOKS_MS = 100;

async function staysLocked(
  { files, clock }: Pick<Context, 'files' | 'clock'>,
  found: FileStatus,
): Promise<boolean> {
  for (let look = 1; await isLockedAgainstWriting(files, found); look++) {
    if (look === LOOKS) return true;
    await clock.sleep(BETWEEN_LOOKS_MS);
  }
  return false;
}

/** In a session, QEMU runs as the user who asks. */
const isSession = (uri: string): boolean => /^[a-z+]+:\/\/\/session\b/i.test(uri);

async function ofDevice(files: HostFiles, path: string, device: string): Promise<WriteObstacle | null> {
  const flag = await files.read(`/sys/dev/block/${device}/ro`).catch(() => null);
  // the kernel lets processes that have it open continue to write
  return flag?.[0] === '1'.charCodeAt(0)
    ? { kind: 'read-only-device', place: path, stopsOpenFiles: false }
    : null;
}

/** ext2 to ext4 and F2FS (statfs(2)) refuse a write to an immutable file that was opened before. */
const MINDS_OPEN_FILES: ReadonlySet<number> = new Set([0xef53, 0xf2f52010]);
/** overlayfs copies a file to its upper layer when the file is opened for writing. */
const OVERLAYFS = 0x794c7630;

async function ofFile(files: HostFiles, path: string, isOwn: boolean): Promise<WriteObstacle | null> {
  const place = await files.realpath(path).catch(() => path);
  const type = await files.statfs(place).then(
    (found) => found.type,
    () => 0,
  );
  const refusal = await refusedAt(files, place);
  switch (refusal) {
    case 'EROFS':
      return ofReadOnly(files, place);
    case 'EPERM':
      return { kind: 'immutable', place, stopsOpenFiles: MINDS_OPEN_FILES.has(type) };
    case 'EACCES':
      // the system's libvirtd runs as another user
      return isOwn ? { kind: 'permission', place, stopsOpenFiles: false } : null;
    case null:
      return type === OVERLAYFS ? null : ofOpening(files, place);
    default:
      return null;
  }
}

/** Asks access(2), which reports read-only file systems and immutable files to every user; null: it can be written to. */
const refusedAt = (files: HostFiles, path: string): Promise<string | null> =>
  files.checkWritable(path).then(
    () => null,
    (error) => errorCode(error) ?? 'unknown',
  );

/**
 * Opens the file, because only that shows this obstacle. Nothing is written, and no lease of another process is waited
 * for.
 */
async function ofOpening(files: HostFiles, place: string): Promise<WriteObstacle | null> {
  try {
    await files.checkOpensForWriting(place);
    return null;
  } catch (error) {
    return errorCode(error) === 'EPERM' ? { kind: 'append-only', place, stopsOpenFiles: false } : null;
  }
}

async function ofReadOnly(files: HostFiles, path: string): Promise<WriteObstacle> {
  const mount = await mountOf(files, path);
  return mount?.isReadOnly && !mount.isFileSystemReadOnly
    ? { kind: 'read-only-mount', place: mount.point, stopsOpenFiles: false }
    : { kind: 'read-only-file-system', place: mount?.point ?? path, stopsOpenFiles: true };
}

/** Bytes; a file system with less free space counts as full. */
const FULL_BELOW_BYTES = 64 * 1024;

async function roomObstacle(
  files: HostFiles,
  path: string,
  found: FileStatus,
  { adds, byRoot }: Growth,
): Promise<WriteObstacle | null> {
  const full = (kind: ObstacleKind, place: string): WriteObstacle => ({ kind, place, stopsOpenFiles: true });
  if (adds === null) return null;
  if (found.kind === 'block-device')
    return (await hasRoom(files, path, adds)) === false ? full('full-device', path) : null;
  const bytes = await mostFreeBytes(files, path, byRoot);
  if (bytes === null || bytes >= FULL_BELOW_BYTES) return null;
  if ((await hasRoom(files, path, adds, bytes)) !== false) return null;
  const place = await files.realpath(path).catch(() => path);
  return full('full-file-system', (await mountOf(files, place))?.point ?? place);
}
