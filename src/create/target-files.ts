import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { freeBytes } from '../host/files.ts';
import { chainOf } from '../model/image.ts';
import { directoryOf } from '../model/paths.ts';
import type { SnapshotPlan } from '../model/snapshot-spec.ts';
import { readChain } from '../qemu/qemu-img.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import { plannedFiles } from './plan.ts';
import type { TargetFile } from './rules/facts.ts';

/** Looking at where files are to be made. */

/** By path, for all files of a plan; what cannot be seen from here (another host, no permission) is left out. */
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

/** `format`: that of an overlay which is to be there already; null for a file that is not looked into. */
async function readTargetFile(ctx: Context, path: string, format: string | null): Promise<TargetFile | null> {
  const directory = directoryOf(path) || '/';
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error.code);
  if (found === 'EACCES') return null;
  const status = typeof found === 'object' ? found : null;
  const image = status && format ? await readChain(ctx.qemuImg, { path, format }) : undefined;
  return {
    holds: status ? (status.isFile() ? 'file' : status.isBlockDevice() ? 'device' : 'other') : null,
    bytes: status?.size ?? 0,
    directory: await directoryState(directory),
    freeBytes: await freeBytes(directory, ctx),
    backing: chainOf(image)[0]?.backing ?? null,
  };
}

/** The permissions are libvirtd's matter, who is another user; a read-only file system, or directory, is so for everyone. */
export async function directoryState(directory: string): Promise<TargetFile['directory']> {
  const found = await stat(directory).catch(() => null);
  if (!found?.isDirectory()) return 'missing';
  return access(directory, constants.W_OK).then(
    () => 'fine',
    ({ code }: NodeJS.ErrnoException) =>
      code === 'EROFS' ? 'read-only' : code === 'EPERM' ? 'immutable' : 'fine',
  );
}
