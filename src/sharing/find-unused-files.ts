import { dirname, join, resolve } from 'node:path';
import type { HostFiles } from '../host/files.ts';
import { SAVE_HEAD_BYTES, savedVm } from '../libvirt/save-file.ts';
import { namedFiles } from '../model/domain-files.ts';
import { withImageFile } from '../qemu/image-file.ts';
import { readOwn } from '../qemu/own-reader.ts';
import { fill, type ImageBytes } from '../qemu/qcow2/bytes.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import type { Vm } from '../vm/load.ts';
import { readUsersOf } from './find-image-users.ts';
import { type FileHead, type UnusedFileFinding, unusedFilesAmong } from './unused-files.ts';

/**
 * Finds files that deleted external snapshots have left next to the images of a VM. Never throws; what cannot be read
 * is left out.
 */
export type UnusedFileFinder = (vm: Vm) => Promise<readonly UnusedFileFinding[]>;

/** A directory with more files than this is not searched: it is hardly one for images. */
const MOST_FILES = 4096;

/** Searches each directory once in a run, and reads the other VMs only if something was found. */
export function createUnusedFileFinder(ctx: Context): UnusedFileFinder {
  const directories = new Map<string, Promise<FileHead[]>>();
  const headsIn = (directory: string) => {
    const heads = directories.get(directory) ?? readHeads(ctx.files, directory);
    directories.set(directory, heads);
    return heads;
  };
  return async ({ uri, domain, snapshots, images }) => {
    if (isRemote(uri)) return [];
    const own = namedFiles(domain, snapshots, images);
    const found = await Promise.all([...new Set([...own].map((path) => dirname(path)))].map(headsIn));
    const named = found.flat();
    if (unusedFilesAmong(named, domain.uuid, own, new Set()).length === 0) return [];
    const heads = await eachOnce(ctx.files, named, own);
    const paths = heads.map(({ path }) => path);
    const { uses } = await readUsersOf(ctx, { uri, files: { paths }, except: null }, 'old');
    // the VM itself may continue from a managed save on files that its definition does not name any more
    const used = [...uses].filter(([, all]) =>
      all.some(({ vm, kind }) => vm.uuid !== domain.uuid || kind === 'saved'),
    );
    return unusedFilesAmong(heads, domain.uuid, own, new Set(used.map(([path]) => path)));
  };
}

/** Each file once, and with the path by which the VM names it (`own`), whatever link or mount leads to it. */
async function eachOnce(
  files: HostFiles,
  heads: readonly FileHead[],
  own: ReadonlySet<string>,
): Promise<FileHead[]> {
  const paths = [...own, ...heads.flatMap(({ path, over }) => (over === null ? [path] : [path, over]))];
  const key = await identifyFiles(files, paths);
  const names = new Map([...paths].reverse().map((path) => [key(path), path]));
  const nameOf = (path: string): string => names.get(key(path)) ?? path;
  const named = heads.map((head) => ({
    ...head,
    path: nameOf(head.path),
    over: head.over === null ? null : nameOf(head.over),
  }));
  return [...new Map(named.map((head) => [head.path, head])).values()];
}

async function readHeads(files: HostFiles, directory: string): Promise<FileHead[]> {
  const entries = await files.readdir(directory).catch(() => []);
  const paths = entries.filter((entry) => entry.isFile).map(({ name }) => join(directory, name));
  if (paths.length > MOST_FILES) return [];
  const heads: FileHead[] = [];
  for (const path of paths) {
    const memoryOf = await withImageFile(files, path, (image) => savedVm(headOf(image)));
    if ('closed' in memoryOf) continue;
    const own = await readOwn(files, path, 'qcow2');
    const over = own !== null && typeof own === 'object' ? own.image.backing : null;
    heads.push({ path, memoryOf: memoryOf.value, over: over?.startsWith('/') ? resolve(over) : null });
  }
  return heads;
}

function headOf(image: ImageBytes): Uint8Array {
  const head = new Uint8Array(Math.min(SAVE_HEAD_BYTES, image.size));
  fill(image, 0, head);
  return head;
}
