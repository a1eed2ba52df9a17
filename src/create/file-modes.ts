import type { HostFiles } from '../host/files.ts';
import { commandLine } from '../model/quote.ts';
import type { SnapshotPlan } from '../model/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import { plannedFiles } from './plan.ts';
import type { CreateFacts } from './rules/facts.ts';

/** Who may read the files of a snapshot: libvirt before 11.10 lets everyone (CVE-2025-13193), where the VM is off. */

const OTHERS_READ = 0o044;
const OWNER_ONLY = 0o600;

/** Of these paths, the files that other users than their owner can read. */
export async function readableByOthers(files: HostFiles, paths: readonly string[]): Promise<string[]> {
  const open = await Promise.all(
    paths.map(async (path) => {
      const found = await files.stat(path).catch(() => null);
      return found?.kind === 'file' && (found.mode & OTHERS_READ) !== 0;
    }),
  );
  return paths.filter((_, i) => open[i]);
}

/** Lets only its owner read a file and write to it; false where this user cannot. */
export const closeFile = (files: HostFiles, path: string): Promise<boolean> =>
  files.chmod(path, OWNER_ONLY).then(
    () => true,
    () => false,
  );

/**
 * Makes the files of a create readable by their owner only. libvirt gives them to QEMU's user when the VM starts.
 * Files that existed before (`--reuse-external`) keep their modes.
 */
export async function closeNewFiles(
  { files, terminal }: Pick<Context, 'files' | 'terminal'>,
  plan: SnapshotPlan,
  before: CreateFacts['targetFiles'],
): Promise<void> {
  const made = plan.spec.reuse ? [] : plannedFiles(plan).filter((path) => before.get(path)?.holds === null);
  for (const path of await readableByOthers(files, made)) {
    if (!(await closeFile(files, path)))
      terminal.note(
        `warning: other users of this host may read ${path}; its owner or root can end that: ${commandLine('chmod', ['600', path])}`,
      );
  }
}
