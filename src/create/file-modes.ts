import { chmod, stat } from 'node:fs/promises';
import { commandLine } from '../model/quote.ts';
import type { SnapshotPlan } from '../model/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import { plannedFiles } from './plan.ts';
import type { CreateFacts } from './rules/facts.ts';

/** Who may read the files of a snapshot: libvirt before 11.10 lets everyone (CVE-2025-13193), where the VM is off. */

const OTHERS_READ = 0o044;
const OWNER_ONLY = 0o600;

/** Those of these files that more users than their owner may read. */
export async function readableByOthers(paths: readonly string[]): Promise<string[]> {
  const open = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path).catch(() => null);
      return found?.isFile() === true && (found.mode & OTHERS_READ) !== 0;
    }),
  );
  return paths.filter((_, i) => open[i]);
}

/** Lets only its owner read a file and write to it; false where this user cannot. */
export const closeFile = (path: string): Promise<boolean> =>
  chmod(path, OWNER_ONLY).then(
    () => true,
    () => false,
  );

/**
 * Takes the files that a create has made from the eyes of others. Their owner stays: QEMU's user gets them from libvirt when
 * the VM starts. What was there before, for --reuse-external, is as its maker wants it.
 */
export async function closeNewFiles(
  { terminal }: Context,
  plan: SnapshotPlan,
  before: CreateFacts['targetFiles'],
): Promise<void> {
  const made = plan.spec.reuse ? [] : plannedFiles(plan).filter((path) => before.get(path)?.holds === null);
  for (const path of await readableByOthers(made)) {
    if (!(await closeFile(path)))
      terminal.note(
        `warning: other users of this host may read ${path}; its owner or root can end that: ${commandLine('chmod', ['600', path])}`,
      );
  }
}
