import type { HostFiles } from '../host/files.ts';
import type { SnapshotPlan } from '../model/input/snapshot-spec.ts';
import { commandLine } from '../model/quote.ts';
import type { Context } from '../run/context.ts';
import { plannedFiles } from './plan.ts';
import type { CreateFacts } from './rules/facts.ts';

/** Who may read the files of a snapshot: libvirt before 11.10 lets everyone read them if the VM is off (CVE-2025-13193). */

const OTHERS_READ = 0o044;
const OWNER_ONLY = 0o600;

/** Those of these paths that are files which others than their owner can read. */
export async function readableByOthers(files: HostFiles, paths: readonly string[]): Promise<string[]> {
  const open = await Promise.all(
    paths.map(async (path) => {
      const found = await files.stat(path).catch(() => null);
      return found?.kind === 'file' && (found.mode & OTHERS_READ) !== 0;
    }),
  );
  return paths.filter((_, i) => open[i]);
}

/** Lets only its owner read a file and write to it; false if this user may not change that. */
export const closeFile = (files: HostFiles, path: string): Promise<boolean> =>
  files.chmod(path, OWNER_ONLY).then(
    () => true,
    () => false,
  );

/**
 * Makes the new files of a snapshot readable by their owner only. libvirt gives them to QEMU's user when the VM starts.
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
        `warning: other users of this host can read ${path}. Its owner or root can change that:\n  ${commandLine('chmod', ['600', path])}`,
      );
  }
}
