import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { understand } from '../errors.ts';
import type { ImageBytes } from './qcow2/bytes.ts';
import { type Leftover, readLeftover } from './qcow2/leftover.ts';
import { type ImageSpace, readSpace, type SpaceQuestion } from './qcow2/space.ts';
import type { RunQemuImg } from './qemu-img.ts';

/** What the snapshots inside an image file on this host cost, and what a failed one has left there. */

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
}

/**
 * What `qemu-img map -f raw` says: what the file system itself does, by SEEK_DATA, which Node.js has not. Without zod: a
 * file can have a hundred thousand holes.
 */
function parseMap(text: string): readonly MapEntry[] {
  return understand('qemu-img says of the holes of an image', () => {
    const map: unknown = JSON.parse(text);
    if (!Array.isArray(map) || !map.every(isMapEntry)) throw new Error('it is no map');
    return map;
  });
}

const isMapEntry = (entry: Partial<MapEntry> | null): entry is MapEntry =>
  typeof entry?.start === 'number' && typeof entry.length === 'number' && typeof entry.data === 'boolean';

/**
 * Measures the snapshots of the image at an absolute path; neither qemu-img nor this process writes to it, or keeps a
 * guest from doing so. Never throws for what is wrong with the file: that is the answer.
 */
export async function measureImage(
  run: RunQemuImg,
  path: string,
  question: Omit<SpaceQuestion, 'extents'> = {},
): Promise<ImageSpace> {
  const { stdout, stderr, exitCode } = await run(['map', '-U', '-f', 'raw', '--output=json', '--', path]);
  if (exitCode !== 0) return unreadable(stderr.trim().replace(/^qemu-img: /, ''));
  const map = parseMap(stdout);
  const extents = map.flatMap(({ start, length, data }) => (data ? [{ start, end: start + length }] : []));
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'r');
    return await readSpace(bytesOf(file, await sizeOf(file, map)), { ...question, extents });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return unreadable(message);
  } finally {
    await file?.close();
  }
}

/** What a save that failed has left in the image at an absolute path; null where that cannot be told. Only reads. */
export async function measureLeftover(path: string): Promise<Leftover | null> {
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'r');
    const stat = await file.stat();
    return stat.isFile() ? await readLeftover(bytesOf(file, stat.size)) : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return null;
  } finally {
    await file?.close();
  }
}

const unreadable = (detail: string): ImageSpace => ({ kind: 'unmeasured', why: 'unreadable', detail });

/** A block device has no size of its own here; qemu-img has mapped all of it. */
async function sizeOf(file: FileHandle, map: readonly MapEntry[]): Promise<number> {
  const { size } = await file.stat();
  return size > 0 ? size : map.reduce((end, { start, length }) => Math.max(end, start + length), 0);
}

const bytesOf = (file: FileHandle, size: number): ImageBytes => ({
  size,
  read: (offset, into) => readSync(file.fd, into, 0, into.length, offset),
});
