import type { UnusedFilesFound } from '../delete/remove-unused-files.ts';
import { openDeletions } from '../delete/series.ts';
import { KvmsnapError } from '../errors.ts';
import type { MountedFileSystem } from '../host/file-systems.ts';
import { locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { readAgain } from '../vm/load.ts';
import { choicesOf, close, type Entry, type Removable } from './free-space-candidates.ts';
import { nextToGo } from './free-space-policy.ts';
import { measureAhead, type Run, shortOf } from './free-space-run.ts';
import { deletionBy, notPruned, planWithExternal } from './prune-vm.ts';

/** The deletions of a prune for free space, one after another, with the bytes that each of them frees. */

/** Deletes what goes for free space, one snapshot at a time, and measures the file systems after each. */
export async function deleteAll(
  run: Run,
  before: readonly MountedFileSystem[],
): Promise<readonly MountedFileSystem[]> {
  const { ctx, entries, systemsByPath } = run;
  let systems = before;
  for (;;) {
    const short = shortOf(run, systems);
    const choices = entries.flatMap((entry) => choicesOf(entry, systemsByPath));
    const next = nextToGo(choices, short);
    if (!next || ctx.interrupts.pending) return systems;
    if (!next.entry.isFreshlyRead) {
      await refresh(run, next.entry);
      continue; // the next choice may be another snapshot then
    }
    const released = await deleteOne(run, next);
    const now = await settle(run, systems, next);
    for (const [i, { id, freeBytes }] of now.entries()) {
      const expected = next.frees.get(id) ?? 0;
      const isUnyielding = expected >= NOTABLE_BYTES && released !== null && released <= 0;
      if (isUnyielding && freeBytes <= (systems[i]?.freeBytes ?? 0)) run.unyielding.add(id);
    }
    systems = now;
  }
}

/** Reads the VM again and plans again, because a snapshot may have been deleted or held since the start of the run. */
async function refresh(run: Run, entry: Entry): Promise<void> {
  const { ctx, request } = run;
  entry.isFreshlyRead = true;
  try {
    entry.vm = await readAgain(ctx, entry.vm.domain);
    entry.plan = await planWithExternal(ctx, entry.vm, request, entry.fresh);
    await measureAhead(run, entry);
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    close(entry, error);
  }
}

/** Deletes a snapshot. Returns by how many bytes the VM's images have shrunk; null if it failed or that is unknown. */
async function deleteOne(run: Run, { entry, decision, name }: Removable): Promise<number | null> {
  const { ctx, request, reader } = run;
  const { report } = decision.snapshot;
  if (!report) return null;
  const { vm } = entry;
  const before = await reader.occupiedBy(ctx.files, vm);
  let found: UnusedFilesFound;
  try {
    entry.deletions ??= openDeletions(vm, deletionBy(request));
    ctx.terminal.progress(`deleting ${inText(name)} of ${inText(vm.domain.name)}`);
    const { gone: _, ...others } = await entry.deletions.delete(ctx, name);
    entry.vm = entry.deletions.vm;
    found = others;
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    if (error === ctx.interrupts.pending && isBegun(run)) return null; // the signal came before the deletion had begun
    entry.done.push(notPruned(name, error));
    if (error.code === 'busy') entry.isClosed = true; // each further deletion of this VM would wait as long again
    return null;
  }
  entry.done.push({ name, failure: null, ...found });
  entry.gone.push(decision);
  entry.plan = await planWithExternal(ctx, entry.vm, request, entry.fresh);
  const after = await reader.occupiedBy(ctx.files, vm);
  const released = before === null || after === null ? null : before - after;
  // the next overlay has another backing file now
  if (locationOf(report) === 'external') await measureAhead(run, entry);
  entry.freedBytes = entry.freedBytes === null || released === null ? null : entry.freedBytes + released;
  return released;
}

const isBegun = ({ entries }: Run): boolean => entries.some(({ done }) => done.length > 0);

/** Verifies what virsh has reported as deleted, unless it was verified already; what still exists counts as failed. */
export async function proveAll({ ctx, entries }: Run): Promise<void> {
  for (const { deletions, done } of entries) {
    const failures = (await deletions?.prove(ctx)) ?? new Map<string, KvmsnapError>();
    for (const [i, { name }] of done.entries()) {
      const failure = failures.get(name);
      if (failure) done[i] = notPruned(name, failure);
    }
  }
}

/** Bytes; a smaller change may come from what the deletion itself writes. */
const NOTABLE_BYTES = 1024 * 1024;

const MOST_READS = 20;

const READ_MILLISECONDS = 250;

/**
 * The file systems after a deletion. Some (btrfs, ZFS) count freed space only seconds later, which must not cause another
 * deletion: while much of the expected space is missing, they are read again for a while.
 */
async function settle(
  { ctx, reader, systemsByPath }: Run,
  before: readonly MountedFileSystem[],
  { frees, entry, name }: Removable,
): Promise<readonly MountedFileSystem[]> {
  // some of these files are gone by now
  const readNow = async (system: MountedFileSystem) => {
    for (const [path, { id }] of systemsByPath) {
      const now = id === system.id ? await reader.fileSystemOf(ctx.files, path) : null;
      if (now) return now;
    }
    return system;
  };
  const isGone = entry.done.some((each) => each.name === name && each.failure === null);
  for (let left = isGone ? MOST_READS : 0; ; left--) {
    const now = await Promise.all(before.map(readNow));
    const isAwaited = (system: MountedFileSystem, i: number) => {
      const expected = frees.get(system.id) ?? 0;
      return expected >= NOTABLE_BYTES && system.freeBytes - (before[i]?.freeBytes ?? 0) < expected / 2;
    };
    if (left === 0 || ctx.interrupts.pending || !now.some(isAwaited)) return now;
    await ctx.clock.sleep(READ_MILLISECONDS).catch(() => undefined); // the run ends: report what is known
  }
}
