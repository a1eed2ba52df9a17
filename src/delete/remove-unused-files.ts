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

/** A file of a deleted external snapshot that libvirt has left behind (hazard 23). */
export interface UnusedFile {
  readonly path: string;
  /** Bytes that it occupies on the host. */
  readonly bytes: number;
  readonly removed: boolean;
}

/** The unused files that were found, and the failures to remove them. */
export interface UnusedFilesFound {
  readonly unusedFiles: readonly UnusedFile[];
  readonly unremoved: readonly KvmsnapError[];
}

const NONE: UnusedFilesFound = { unusedFiles: [], unremoved: [] };

/**
 * Finds those of these files, which the VM's snapshots have created, that still exist and that neither the VM nor one of
 * its snapshots uses, with the whole chain below each. Removes them if `remove` says so and no other VM uses them, and
 * prints the others. A file that an unreadable VM may use is kept.
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
    const isRemovable = remove && uses.length === 0 && users.unknown.length === 0;
    if (isRemovable) ctx.onChange?.();
    const failure = isRemovable ? await tryRemove(ctx.files, path, domain.name) : null;
    const removed = isRemovable && failure === null;
    unusedFiles.push({ path, bytes, removed });
    if (failure) unremoved.push(failure);
    else ctx.terminal.note(noteOn({ path, bytes, removed }, uses));
  }
  return { unusedFiles, unremoved };
}

/** Removes a file; null: it was removed. */
const tryRemove = (files: HostFiles, path: string, vm: string): Promise<KvmsnapError | null> =>
  files.remove(path).then(
    () => null,
    (error: Error) =>
      new KvmsnapError(
        'refused',
        `could not remove ${path}, an unused file of ${inText(vm)} that libvirt left behind: ${error.message}`,
      ),
  );

function noteOn({ path, bytes, removed }: UnusedFile, uses: readonly ImageUse[]): string {
  const what = `${path} (${humanBytes(bytes)})`;
  if (removed) return `note: removed the unused file that libvirt left behind: ${what}`;
  if (uses.length > 0) return `note: this VM does not use ${what} any more, but ${describeUses(uses)}`;
  return `note: libvirt left behind the unused file ${what}. To remove it:\n  rm ${quote(path)}`;
}
