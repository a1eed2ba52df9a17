import { stat, statfs } from 'node:fs/promises';
import { KvmsnapError } from '../errors.ts';
import type { Context } from '../run/context.ts';

/** What this host's file systems tell of a file. */

/** How large a file system is, and what an ordinary user may still write on it. */
export interface Room {
  readonly sizeBytes: number;
  readonly freeBytes: number;
}

/** Magic numbers of file systems whose blocks are counted in `f_bsize` (statfs(2)): ext2 to ext4, XFS, Btrfs, tmpfs. */
const COUNTED_IN_BSIZE = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994]);

/**
 * The file system of this path, as `df` shows it; null where it cannot be asked. On others, such as FUSE and virtiofs,
 * blocks are counted in a unit of their own (`f_frsize`), which Node.js does not tell: stat(1) is asked.
 */
export async function roomAt(path: string, { stat }: Pick<Context, 'stat'>): Promise<Room | null> {
  try {
    const { type, blocks, bavail, bsize } = await statfs(path);
    if (COUNTED_IN_BSIZE.has(type)) return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize };
    const { stdout } = await stat(['--file-system', '--format=%S %b %a', '--', path]);
    const [, unit, size, free] = /^(\d+) (\d+) (\d+)\n?$/.exec(stdout)?.map(Number) ?? [];
    if (!unit || size === undefined || free === undefined) return null;
    return { sizeBytes: size * unit, freeBytes: free * unit };
  } catch (error) {
    // the run is to end
    if (error instanceof KvmsnapError && error.code !== 'tool-missing') throw error;
    return null;
  }
}

/** Bytes that an ordinary user may still write on the file system of this path; null where it cannot be asked. */
export async function freeBytes(path: string, ctx: Pick<Context, 'stat'>): Promise<number | null> {
  return (await roomAt(path, ctx))?.freeBytes ?? null;
}

/**
 * More than this is certainly not free on the file system of this path; null where it cannot be asked. No process is needed for
 * it: where blocks are counted in another unit than `f_bsize`, that is smaller (statvfs(3)). `byRoot`: who may use what is kept
 * back for root.
 */
export async function mostFreeBytes(path: string, byRoot: boolean): Promise<number | null> {
  const found = await statfs(path).catch(() => null);
  return found && (byRoot ? found.bfree : found.bavail) * found.bsize;
}

/** When a file was last written to, in milliseconds since the epoch; null where that does not show: of a device. */
export async function writtenAt(path: string): Promise<number | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.mtimeMs : null;
  } catch {
    return null;
  }
}

/** Bytes that a file occupies on its file system now; null where it cannot be asked. */
export async function occupiedBytes(path: string): Promise<number | null> {
  try {
    return (await stat(path)).blocks * 512;
  } catch {
    return null;
  }
}
