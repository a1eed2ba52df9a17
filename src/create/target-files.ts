import { errorCode, type FileKind, freeBytes, type HostFiles, unlessOurs } from '../host/files.ts';
import { chainOf } from '../model/image.ts';
import type { SnapshotPlan } from '../model/input/snapshot-spec.ts';
import { baseName, directoryOf } from '../model/paths.ts';
import { readChain } from '../qemu/qemu-img.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import type { DirectoryState } from '../vm/external-state.ts';
import { plannedFiles } from './plan.ts';
import type { TargetFile } from './rules/facts.ts';

/** Reads what exists where the files of a plan will be created. */

/** By path, for all files of a plan; a path that cannot be read from here (another host, no permission) is left out. */
export async function readTargetFiles(
  ctx: Context,
  uri: string,
  plan: SnapshotPlan,
): Promise<ReadonlyMap<string, TargetFile>> {
  if (isRemote(uri)) return new Map();
  const formats = new Map(
    plan.disks.map(({ overlay, driver }) => [overlay, plan.spec.reuse ? (driver ?? 'qcow2') : null]),
  );
  const targetFiles = await Promise.all(
    plannedFiles(plan).map(
      async (path) => [path, await readTargetFile(ctx, path, formats.get(path) ?? null)] as const,
    ),
  );
  return new Map(targetFiles.flatMap(([path, found]) => (found ? [[path, found] as const] : [])));
}

/**
 * `format`: of an overlay that should already exist (`--reuse-external`); null for a file whose content is not read.
 */
async function readTargetFile(ctx: Context, path: string, format: string | null): Promise<TargetFile | null> {
  const directory = directoryOf(path) || '/';
  const found = await ctx.files.stat(path).catch(errorCode);
  if (found === 'EACCES') return null;
  const status = typeof found === 'string' ? null : found;
  const image = status && format ? await readChain(ctx, { path, format }) : undefined;
  return {
    holds: status ? HOLDS[status.kind] : null,
    isDanglingLink: status === null && (await hasEntry(ctx.files, directory, baseName(path))),
    bytes: status?.sizeBytes ?? 0,
    directory: await directoryState(ctx.files, directory),
    freeBytes: await freeBytes(ctx.files, directory),
    backing: chainOf(image)[0]?.backing ?? null,
  };
}

/** Whether the directory lists the name: where nothing is found at the path, that is a link which leads to nothing. */
const hasEntry = async (files: HostFiles, directory: string, name: string): Promise<boolean> =>
  (await files.readdir(directory).catch(unlessOurs))?.some((entry) => entry.name === name) ?? false;

const HOLDS: Readonly<Record<FileKind, TargetFile['holds']>> = {
  file: 'file',
  'block-device': 'device',
  directory: 'other',
  'character-device': 'other',
  pipe: 'other',
  socket: 'other',
  other: 'other',
};

const REFUSED: Readonly<Record<string, DirectoryState>> = { EROFS: 'read-only', EPERM: 'immutable' };

/**
 * Whether a file can be created in the directory. Permissions are not checked, because libvirtd runs as another user; a
 * file system or directory that is read-only is so for every user.
 */
export async function directoryState(files: HostFiles, directory: string): Promise<DirectoryState> {
  const found = await files.stat(directory).catch(errorCode);
  if (found === null || typeof found === 'string') return found === 'ENOTDIR' ? 'blocked' : 'missing';
  if (found.kind !== 'directory') return 'blocked';
  return files.checkWritable(directory).then(
    () => 'fine',
    (error) => REFUSED[errorCode(error) ?? ''] ?? 'fine',
  );
}
