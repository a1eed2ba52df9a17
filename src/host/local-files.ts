import { type BigIntStats, constants, readSync, type Stats } from 'node:fs';
import {
  access,
  chmod,
  chown,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import { KvmsnapError } from '../errors.ts';
import {
  type Capacity,
  errorCode,
  type FileKind,
  type FileStatus,
  type HostFiles,
  type OpenFile,
} from './files.ts';
import type { Executed } from './process/exec.ts';

/** HostFiles for the host on which kvmsnap itself runs. */

/** Runs stat(1), for facts about a file system that Node.js does not provide. */
export type RunStat = (args: readonly string[]) => Promise<Executed>;

/** The files of this host. */
export const createLocalFiles = (runStat: RunStat): HostFiles => ({
  // inodes of more than 53 bits are common on btrfs, FUSE and NFS
  stat: async (path) => withContent(statusOf(await stat(path, { bigint: true }))),
  statfs: async (path) => {
    const { type, bavail, bfree, bsize } = await statfs(path);
    return { type, mostFreeBytes: bavail * bsize, mostFreeForRootBytes: bfree * bsize };
  },
  capacity: (path) => capacityAt(path, runStat),
  realpath: (path) => realpath(path),
  readdir: async (path) =>
    (await readdir(path, { withFileTypes: true })).map((entry) => ({
      name: entry.name,
      isFile: entry.isFile(),
    })),
  read: (path) => readFile(path),
  open: openImage,
  checkWritable: (path) => access(path, constants.W_OK),
  checkOpensForWriting: async (path) => (await open(path, constants.O_WRONLY | constants.O_NONBLOCK)).close(),
  write: (path, bytes, mode) => writeFile(path, bytes, { mode, flag: 'wx' }),
  create: async (path, mode) => {
    const file = await open(path, 'wx', mode);
    return { append: (bytes) => file.writeFile(bytes), close: () => file.close() };
  },
  chmod: (path, mode) => chmod(path, mode),
  giveLike: async (path, other) => {
    const { uid, gid, mode } = await stat(other);
    await chown(path, uid, gid);
    await chmod(path, 0o600 | (mode & 0o060));
  },
  remove: (path) => rm(path),
  makeDirectory: async (path, mode) => void (await mkdir(path, { recursive: true, mode })),
  removeDirectory: (path) => rmdir(path),
  publish: publishFile,
});

async function publishFile(path: string, name: string): Promise<void> {
  await flush(path);
  try {
    await link(path, name);
    await rm(path);
  } catch (error) {
    // a file system without hard links
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(String(errorCode(error)))) throw error;
    await writeFile(name, '', { flag: 'wx' });
    await rename(path, name);
  }
  await flush(dirname(name));
}

/** fsync(2); a file system that cannot do that with a directory does not matter. */
async function flush(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY);
  await file.sync().catch(async (error: unknown) => {
    if (errorCode(error) !== 'EINVAL') throw error;
  });
  await file.close();
}

const KINDS: readonly (readonly [FileKind, (found: Stats | BigIntStats) => boolean])[] = [
  ['file', (found) => found.isFile()],
  ['directory', (found) => found.isDirectory()],
  ['block-device', (found) => found.isBlockDevice()],
  ['character-device', (found) => found.isCharacterDevice()],
  ['pipe', (found) => found.isFIFO()],
  ['socket', (found) => found.isSocket()],
];

const kindOf = (found: Stats | BigIntStats): FileKind =>
  KINDS.find(([, isKind]) => isKind(found))?.[0] ?? 'other';

function statusOf(found: BigIntStats): FileStatus {
  const { dev, ino, rdev, size, mode, blocks, mtimeNs, ctimeNs, birthtimeNs } = found;
  const kind = kindOf(found);
  return {
    kind,
    identity: kind === 'block-device' ? `device ${rdev}` : `${dev}:${ino}`,
    device: kind === 'block-device' ? deviceNumber(Number(rdev)) : null,
    fileSystemId: String(dev),
    sizeBytes: Number(size),
    occupiedBytes: Number(blocks) * BLOCK_BYTES,
    mode: Number(mode) & 0o7777,
    writtenAt: milliseconds(mtimeNs),
    // Node.js has 0, or the time of the last change, if statx(2) has no time of birth
    madeAt: birthtimeNs === 0n || birthtimeNs === ctimeNs ? null : milliseconds(birthtimeNs),
    stamp: `${dev}:${ino}:${rdev}:${size}:${mtimeNs}:${ctimeNs}`,
  };
}

const milliseconds = (ns: bigint): number => Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6;

/** The same, with the identity of the file that a loop device, or a partition of one, stands for. */
async function withContent(status: FileStatus): Promise<FileStatus> {
  if (status.device === null) return status;
  const sysfs = `/sys/dev/block/${status.device}`;
  for (const loop of [`${sysfs}/loop`, `${sysfs}/../loop`]) {
    // sysfs-block-loop: the path, and ` (deleted)` after it if the file is gone
    const file = await readFile(`${loop}/backing_file`, 'utf8').catch(() => null);
    const found =
      file === null ? null : await stat(file.replace(/\n$/, ''), { bigint: true }).catch(() => null);
    if (found) return { ...status, identity: statusOf(found).identity };
  }
  return status;
}

/** The unit of st_blocks (stat(2)), whatever the block size of the file system. */
const BLOCK_BYTES = 512;

/** Magic numbers of file systems that count blocks in `f_bsize` (statfs(2)): ext2 to ext4, XFS, Btrfs, tmpfs. */
const COUNTED_IN_BSIZE: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994]);

/**
 * Other file systems, such as FUSE and virtiofs, count blocks in another unit (`f_frsize`). Node.js does not provide
 * it, so stat(1) is used.
 */
async function capacityAt(path: string, runStat: RunStat): Promise<Capacity | null> {
  const { type, blocks, bavail, bsize } = await statfs(path);
  if (COUNTED_IN_BSIZE.has(type)) return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
  const stdout = await runStat(['--file-system', '--format=%S %b %a', '--', path]).then(
    (answer) => answer.stdout,
    (error: unknown) => {
      // the run must end
      if (error instanceof KvmsnapError && error.code !== 'tool-missing') throw error;
      return '';
    },
  );
  const [, unit, size, free] = /^(\d+) (\d+) (\d+)\n?$/.exec(stdout)?.map(Number) ?? [];
  if (!unit || size === undefined || free === undefined) return null;
  return { sizeBytes: size * unit, freeBytes: free * unit };
}

async function openImage(path: string): Promise<OpenFile | null> {
  // before it is opened, because opening a pipe would wait for a writer or wake one
  if (!isImage(await stat(path))) return null;
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const found = await file.stat();
    // another file may have got that name since
    if (isImage(found)) return await openFileOf(file, found);
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return null;
}

const isImage = (found: Stats): boolean => ['file', 'block-device'].includes(kindOf(found));

async function openFileOf(file: FileHandle, found: Stats): Promise<OpenFile> {
  const isFile = found.isFile();
  return {
    kind: isFile ? 'file' : 'block-device',
    size: isFile ? found.size : await deviceBytes(deviceNumber(found.rdev)),
    occupiedBytes: found.blocks * BLOCK_BYTES,
    read: (offset, into) => readSync(file.fd, into, 0, into.length, offset),
    close: () => file.close(),
  };
}

/** The size of a block device, by its number (sysfs-block). */
async function deviceBytes(device: string): Promise<number> {
  return Number(await readFile(`/sys/dev/block/${device}/size`, 'utf8')) * 512;
}

/** Linux: makedev(3). */
function deviceNumber(device: number): string {
  const high = Math.floor(device / 2 ** 32);
  const low = device % 2 ** 32;
  const major = ((low >>> 8) & 0xfff) + (high & 0xfffff000);
  const minor = (low & 0xff) + (((low >>> 12) & 0xfff00) >>> 0);
  return `${major}:${minor}`;
}
