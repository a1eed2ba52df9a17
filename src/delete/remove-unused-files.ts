import { KvmsnapError } from '../errors.ts';
import { type HostFiles, occupiedBytes } from '../host/files.ts';
import { quote } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import { readUsersOf } from '../sharing/find-image-users.ts';
import { describeUses, type ImageUse, usesOf } from '../sharing/image-users.ts';
import { isRemote } from '../vm/disks.ts';
import type { Vm } from '../vm/load.ts';

/** A file that a deleted external snapshot had made, and that libvirt has left behind (hazard 23). */
export interface UnusedFile {
  readonly path: string;
  /** What it occupies on the host. */
  readonly bytes: number;
  readonly removed: boolean;
}

/** Those that were found, and why what was to be removed could not be. */
export interface UnusedFilesFound {
  readonly unusedFiles: readonly UnusedFile[];
  readonly unremoved: readonly KvmsnapError[];
}

const NONE: UnusedFilesFound = { unusedFiles: [], unremoved: [] };

/**
 * Looks which of these files, which the VM's snapshots have made, are still there and used by nothing any more: neither
 * the VM nor one of its snapshots, by the whole chain under each. Removes them where that is wanted and no other VM
 * uses them either, and says the rest. What may be used by a VM that could not be read is left.
 */
export async function clearUnusedFiles(
  ctx: Context,
  { uri, domain }: Vm,
  made: readonly string[],
  remove: boolean,
): Promise<UnusedFilesFound> {
  if (isRemote(uri)) return NONE;
  const candidates = [...new Set(made)];
  const sizes = await Promise.all(candidates.map((path) => occupiedBytes(ctx.files, path)));
  const present = candidates.flatMap((path, i) => {
    const bytes = sizes[i] ?? null;
    return bytes === null ? [] : [{ path, bytes }];
  });
  if (present.length === 0) return NONE;
  const users = await readUsersOf(ctx, {
    uri,
    files: { paths: present.map(({ path }) => path) },
    except: null,
  });
  if (users.unknown.includes(domain.name)) return NONE;
  const unusedFiles: UnusedFile[] = [];
  const unremoved: KvmsnapError[] = [];
  for (const { path, bytes } of present) {
    const uses = usesOf(users, path);
    if (uses.some(({ vm }) => vm.uuid === domain.uuid)) continue;
    const isToGo = remove && uses.length === 0 && users.unknown.length === 0;
    const failure = isToGo ? await tryRemove(ctx.files, path, domain.name) : null;
    const removed = isToGo && failure === null;
    unusedFiles.push({ path, bytes, removed });
    if (failure) unremoved.push(failure);
    else ctx.terminal.note(saysOf({ path, bytes, removed }, uses));
  }
  return { unusedFiles, unremoved };
}

/** Null: it is gone. */
const tryRemove = (files: HostFiles, path: string, vm: string): Promise<KvmsnapError | null> =>
  files.remove(path).then(
    () => null,
    (error: Error) =>
      new KvmsnapError(
        'refused',
        `could not remove ${path}, which libvirt has left behind of ${inText(vm)}: ${error.message}`,
      ),
  );

function saysOf({ path, bytes, removed }: UnusedFile, uses: readonly ImageUse[]): string {
  const what = `${path} (${humanBytes(bytes)})`;
  if (removed) return `note: removed what libvirt had left behind: ${what}`;
  if (uses.length > 0)
    return `note: a file is left that this VM does not use any more: ${what}; ${describeUses(uses)}`;
  return `note: libvirt has left a file behind that this VM does not use: ${what}; this removes it: rm ${quote(path)}`;
}
