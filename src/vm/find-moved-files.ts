import { dirname, join } from 'node:path';
import type { HostFiles } from '../host/files.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { SAVE_HEAD_BYTES, savedVm } from '../libvirt/save-file.ts';
import { namedFiles } from '../model/domain-files.ts';
import { chainPaths, type Images } from '../model/image.ts';
import type { MovedFiles, Snapshot } from '../model/snapshot.ts';
import { withImageFile } from '../qemu/image-file.ts';
import { fill } from '../qemu/qcow2/bytes.ts';
import { isRemote } from './disks.ts';
import { externalFiles, findMovedFiles, type WrittenMemory } from './moved-files.ts';

/** The parts of a VM that are inspected here. */
interface Looked extends Pick<DomainReading, 'uri' | 'domain' | 'current'> {
  readonly snapshots: readonly Snapshot[];
  readonly images: Images;
}

/**
 * Finds which files of external snapshots are gone from their paths, and where they are now. By snapshot; a snapshot
 * with all its files is not in it. Reads nothing for a VM without external snapshots.
 */
export async function lookForMovedFiles(
  { files }: { readonly files: HostFiles },
  vm: Looked,
): Promise<ReadonlyMap<string, MovedFiles>> {
  if (isRemote(vm.uri)) return new Map();
  const paths = [...new Set(vm.snapshots.flatMap(externalFiles))].filter((path) => path.startsWith('/'));
  const missing = await Promise.all(paths.map((path) => isGone(files, path)));
  const gone = new Set(paths.filter((_, i) => missing[i]));
  if (gone.size === 0) return new Map();
  const memoryGone = vm.snapshots.flatMap(({ memory }) =>
    memory.file !== null && gone.has(memory.file) ? [memory.file] : [],
  );
  return findMovedFiles({ ...vm, gone, memories: await memoriesBeside(files, vm, memoryGone) });
}

const isGone = (files: HostFiles, path: string): Promise<boolean> =>
  files.stat(path).then(
    () => false,
    ({ code }: NodeJS.ErrnoException) => code === 'ENOENT' || code === 'ENOTDIR',
  );

/** A directory with more files than this is not searched: it is hardly one for images. */
const MOST_FILES = 4096;

/** The files with saved memory of this VM that nothing names, next to its images and where such a file was. */
async function memoriesBeside(
  files: HostFiles,
  { domain, snapshots, images }: Looked,
  gone: readonly string[],
): Promise<WrittenMemory[]> {
  if (gone.length === 0) return [];
  const named = namedFiles(domain, snapshots, images);
  const places = new Set([...gone, ...[...images.values()].flatMap(chainPaths)].map((path) => dirname(path)));
  const found: WrittenMemory[] = [];
  for (const directory of places) {
    const entries = await files.readdir(directory).catch(() => []);
    if (entries.length > MOST_FILES) continue;
    const paths = entries.filter((entry) => entry.isFile).map(({ name }) => join(directory, name));
    for (const path of paths.filter((each) => !named.has(each))) {
      const memory = await memoryAt(files, path, domain.uuid);
      if (memory) found.push(memory);
    }
  }
  return found;
}

async function memoryAt(files: HostFiles, path: string, uuid: string): Promise<WrittenMemory | null> {
  const found = await withImageFile(files, path, (image) => {
    const head = new Uint8Array(Math.min(SAVE_HEAD_BYTES, image.size));
    fill(image, 0, head);
    return savedVm(head);
  });
  if ('closed' in found || found.value !== uuid) return null;
  return { path, writtenAtSeconds: Math.floor((await files.stat(path)).writtenAt / 1000) };
}
