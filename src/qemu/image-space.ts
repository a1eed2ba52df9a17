import { type FileHandle, open } from 'node:fs/promises';
import * as z from 'zod/mini';
import type { ImageBytes } from './qcow2/bytes.ts';
import { type ImageSpace, readSpace, type SpaceQuestion } from './qcow2/space.ts';
import type { RunQemuImg } from './qemu-img.ts';

/** What the snapshots inside an image file on this host cost. */

/** Of `qemu-img map -f raw`: what the file system itself says, SEEK_DATA, which Node.js has not. */
const FileMap = z.array(z.object({ start: z.number(), length: z.number(), data: z.boolean() }));

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
  const map = z.parse(FileMap, JSON.parse(stdout));
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

const unreadable = (detail: string): ImageSpace => ({ kind: 'unmeasured', why: 'unreadable', detail });

/** A block device has no size of its own here; qemu-img has mapped all of it. */
async function sizeOf(
  file: FileHandle,
  map: readonly { readonly start: number; readonly length: number }[],
): Promise<number> {
  const { size } = await file.stat();
  return size > 0 ? size : map.reduce((end, { start, length }) => Math.max(end, start + length), 0);
}

const bytesOf = (file: FileHandle, size: number): ImageBytes => ({
  size,
  read: async (offset, into) => (await file.read(into, 0, into.length, offset)).bytesRead,
});
