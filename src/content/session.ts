import { KvmsnapError } from '../errors.ts';
import type { OwnRun } from '../host/run-files.ts';
import { locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { readTagEntries } from '../qemu/tag-entries.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { findSnapshot, loadVm, readAgain, stillBeingTaken, type Vm } from '../vm/load.ts';
import { type ContentFacts, type Part, readContent, readParts } from './facts.ts';
import { removeLeftBehind } from './left-behind.ts';
import { contentFindings } from './rules.ts';

/** A run that reads a snapshot. */
export interface Session extends ContentFacts {
  readonly run: OwnRun;
  readonly parts: readonly Part[];
}

export interface SessionRequest {
  readonly vm: string;
  readonly name: string;
  /** Only these disks; null: all of the snapshot. */
  readonly targets: readonly string[] | null;
  readonly force: boolean;
  /** `export` or `open`. */
  readonly command: string;
}

/**
 * Protects the snapshot from kvmsnap's own deletions, then finds its disks, and runs the task. Throws what prevents them from being
 * read, `not-found` for a disk that the snapshot does not have, and `busy` for a snapshot that is still being taken.
 */
export async function withContent<T>(
  ctx: Context,
  request: SessionRequest,
  task: (session: Session) => Promise<T>,
): Promise<T> {
  const { vm: word, name, targets, force, command } = request;
  const first = await retryWhileBusy(ctx, async (ctx) => {
    const vm = await loadVm(ctx, word);
    const snapshot = findSnapshot(vm, name);
    if (snapshot.underWay) throw stillBeingTaken(vm, snapshot);
    return { vm, snapshot };
  });
  requireDisks(first, targets);
  const run = await ctx.runFiles.begin({
    command,
    sinceSeconds: Math.floor(ctx.clock.now() / 1000),
    vmUuid: first.vm.domain.uuid,
    snapshot: name,
    isExternal: locationOf(first.snapshot) === 'external',
  });
  try {
    await removeLeftBehind(ctx, first.vm);
    // a deletion that had begun before may have been finished since
    const vm = await readAgain(ctx, first.vm.domain);
    const facts = await readContent(ctx, vm, findSnapshot(vm, name), targets);
    const cannot = `cannot ${command} ${inText(name)} of ${inText(vm.domain.name)}`;
    refuseOn(ctx, cannot, contentFindings(facts), force);
    return await task({ ...facts, run, parts: await readParts(ctx, facts) });
  } finally {
    await run.end();
  }
}

/** Throws `not-found` for a target that is no disk of the snapshot. */
function requireDisks(
  { vm: { domain }, snapshot }: { readonly vm: Vm; readonly snapshot: ContentFacts['snapshot'] },
  targets: readonly string[] | null,
): void {
  const known = snapshot.disks.map(({ target }) => target);
  const wrong = targets?.find((target) => !known.includes(target));
  if (wrong === undefined) return;
  throw new KvmsnapError(
    'not-found',
    `the snapshot ${inText(snapshot.name)} of ${inText(domain.name)} has no disk ${inText(wrong)}`,
    { hint: known.length === 0 ? 'it contains no disk' : `its disks are ${known.join(', ')}` },
  );
}

/**
 * Throws `check` unless each part is the same as when it was found: virsh, which knows nothing of kvmsnap, may have deleted the
 * snapshot meanwhile and QEMU used its clusters again. `what`: what is not to be used.
 */
export async function requireUnchanged(ctx: Context, session: Session, what: string): Promise<void> {
  const { domain, snapshot } = session;
  const facts = { ...session, disks: await refreshed(ctx, session) };
  const now = await readParts(ctx, facts);
  const changed = session.parts.find((part) => {
    const same = now.find(({ target }) => target === part.target);
    return same?.mark !== part.mark || same.tagId !== part.tagId;
  });
  if (!changed) return;
  throw new KvmsnapError(
    'check',
    `disk ${changed.target}: ${changed.path} does not contain the same snapshot ${inText(snapshot.name)} of ${inText(domain.name)} any more: it was deleted or changed meanwhile; ${what}`,
    { hint: 'check whether the snapshot still exists; do not delete it while it is read' },
  );
}

/** The disks with their tags as they are now. */
async function refreshed(ctx: Context, { disks, parts }: Session): Promise<ContentFacts['disks']> {
  return Promise.all(
    disks.map(async (disk) => {
      const part = parts.find(({ target }) => target === disk.target);
      return disk.tags && part ? { ...disk, tags: await readTagEntries(ctx.files, part.path) } : disk;
    }),
  );
}
