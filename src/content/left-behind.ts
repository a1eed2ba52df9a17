import { readText, unlessOurs } from '../host/files.ts';
import { isMarkOf } from '../host/process/running.ts';
import type { NamedFile } from '../host/run-files.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { ownerOf } from '../model/throw-away.ts';
import type { Context } from '../run/context.ts';
import { readUsersOf } from '../sharing/find-image-users.ts';
import { usesOf } from '../sharing/image-users.ts';
import { fileMark } from './facts.ts';

/** What killed runs that read a snapshot have left: VMs and files. A dry run leaves it. */
export async function removeLeftBehind(ctx: Context, { uri, listed }: Host): Promise<void> {
  if (ctx.settings.dryRun) return;
  await endThrowAwayVms(ctx, listed);
  await removeFiles(ctx, uri);
}

type Host = Pick<DomainReading, 'uri' | 'listed'>;

/** Ends throw-away VMs of runs that do not exist any more, of whatever user. */
async function endThrowAwayVms({ files, virsh }: Context, listed: Host['listed']): Promise<void> {
  const forgotten: string[] = [];
  for (const { name, uuid } of listed) {
    const owner = ownerOf(name);
    if (!owner) continue;
    const text = await readText(files, `/proc/${owner.id}/stat`).catch(unlessOurs);
    if (!isMarkOf(owner, text ?? '')) forgotten.push(uuid);
  }
  if (forgotten.length > 0) await virsh.setRight(forgotten.map((uuid) => ['destroy', '--domain', uuid]));
}

/**
 * Removes the files that killed runs have named but not completed, such as the disks of a clone that was not defined: only unchanged
 * files that no VM uses, and prints which. `uri`: of virsh. With VMs that cannot be read, the files and their record stay.
 */
async function removeFiles(ctx: Context, uri: string): Promise<void> {
  for (const run of await ctx.runFiles.abandoned()) {
    const unused = await unusedAmong(ctx, uri, run.named);
    if (unused === null) continue;
    for (const path of unused) {
      await ctx.files.remove(path).catch(unlessOurs);
      ctx.terminal.note(
        `note: removed ${path}, which a killed kvmsnap ${run.command} has left behind; no VM used it`,
      );
    }
    await ctx.runFiles.forget(run);
  }
}

/** Those of the files that are unchanged; none if a VM uses one of them, and null if that is unknown. */
async function unusedAmong(
  ctx: Context,
  uri: string,
  named: readonly NamedFile[],
): Promise<readonly string[] | null> {
  const paths: string[] = [];
  for (const { path, mark } of named) if ((await fileMark(ctx, path)) === mark) paths.push(path);
  if (paths.length === 0) return [];
  const users = await readUsersOf(ctx, { uri, files: { paths }, except: null });
  if (users.unknown.length > 0) return null;
  // the VM of a clone was defined after all
  return paths.some((path) => usesOf(users, path).length > 0) ? [] : paths;
}
