import { KvmsnapError, understand } from '../errors.ts';
import { errorCode, type HostFiles, type OpenFile, readFetched } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { asAnswer, type ImageBytes, Unmeasurable, type Unmeasured } from './qcow2/bytes.ts';
import type { FileBlocks } from './qcow2/host-data.ts';
import { type MergeSpace, readMerge } from './qcow2/merge.ts';
import { type ImageSpace, readSpace, type SpaceQuestion } from './qcow2/space.ts';
import { readUnusedMemory } from './qcow2/unused-memory.ts';
import type { ImageTools } from './qemu-img.ts';
import type { UnusedMemory } from './unused-memory.ts';

/**
 * Measures what internal snapshots and overlays of an image on this host cost, and what failed snapshots have left in
 * it.
 */

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
}

/**
 * Parses the output of `qemu-img map -f raw`: the holes in the file, found by SEEK_DATA, which Node.js does not offer.
 * Does not use zod, because a file can have a hundred thousand holes.
 */
function parseMap(text: string): readonly MapEntry[] {
  return understand('qemu-img about the holes of an image', () => {
    const map: unknown = JSON.parse(text);
    if (!Array.isArray(map) || !map.every(isMapEntry)) throw new Error('it is not a map of an image');
    return map;
  });
}

const isMapEntry = (entry: Partial<MapEntry> | null): entry is MapEntry =>
  typeof entry?.start === 'number' && typeof entry.length === 'number' && typeof entry.data === 'boolean';

/**
 * Measures the snapshots of the image at an absolute path. Neither qemu-img nor this process writes to it or stops a
 * guest from writing. A problem with the file is returned, never thrown.
 */
export function measureImage(
  tools: ImageTools,
  path: string,
  question: Omit<SpaceQuestion, 'blocks'> = {},
): Promise<ImageSpace> {
  return withImages(tools, [path], ([{ image, blocks }]) => readSpace(image, { ...question, blocks }));
}

/** The same for merging consecutive overlays into their backing file. */
export function measureMerge(
  tools: ImageTools,
  overlays: readonly string[],
  base: { readonly path: string; readonly format: 'qcow2' | 'raw' },
): Promise<MergeSpace> {
  return withImages(tools, [base.path, ...overlays], ([below, ...above]) =>
    readMerge(
      above.map(({ image }) => image),
      { ...below, format: base.format },
    ),
  );
}

interface Opened {
  readonly image: ImageBytes;
  readonly blocks: FileBlocks;
}

async function withImages<T>(
  tools: ImageTools,
  paths: readonly [string, ...string[]],
  measure: (opened: readonly [Opened, ...Opened[]]) => Promise<T>,
): Promise<T | Unmeasured> {
  const files: OpenFile[] = [];
  const openOne = async (path: string): Promise<Opened> => {
    const map = await readMap(tools, path);
    const image = await tools.files.open(path);
    if (image === null) throw new Unmeasurable('unreadable', 'it is neither a file nor a block device');
    files.push(image);
    const { kind, size } = image;
    const extents = map.flatMap(({ start, length, data }) => (data ? [{ start, end: start + length }] : []));
    return { image, blocks: { size, extents, occupiedBytes: kind === 'file' ? image.occupiedBytes : null } };
  };
  try {
    const [first, ...others] = paths;
    const opened: [Opened, ...Opened[]] = [await openOne(first)];
    for (const path of others) opened.push(await openOne(path));
    return await readFetched(() => measure(opened));
  } catch (error) {
    if (errorCode(error) === null || !(error instanceof Error)) {
      if (error instanceof KvmsnapError) throw error;
      return asAnswer(error);
    }
    return asAnswer(new Unmeasurable('unreadable', error.message));
  } finally {
    for (const file of files) await file.close();
  }
}

/** What a failed save has left in the image at an absolute path; null if unknown. Only reads. */
export async function measureUnusedMemory(files: HostFiles, path: string): Promise<UnusedMemory | null> {
  const opened = await withImageFile(files, path, (image) =>
    image.kind === 'file' ? readUnusedMemory(image) : null,
  );
  return 'closed' in opened ? null : opened.value;
}

/** Where the file has data, according to its file system. */
async function readMap({ qemuImg }: ImageTools, path: string): Promise<readonly MapEntry[]> {
  const { stdout, stderr, exitCode } = await qemuImg(['map', '-U', '-f', 'raw', '--output=json', '--', path]);
  if (exitCode !== 0) throw new Unmeasurable('unreadable', stderr.trim().replace(/^qemu-img: /, ''));
  return parseMap(stdout);
}
