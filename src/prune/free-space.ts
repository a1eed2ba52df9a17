import { planDeletions } from '../delete/dry-run.ts';
import type { MountedFileSystem } from '../host/file-systems.ts';
import { isActive } from '../model/domain.ts';
import { byTimeAndName } from '../model/labels.ts';
import { locationOf } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import {
  choicesOf,
  close,
  type Entry,
  enter,
  isUnmeasurable,
  leaving,
  type Removable,
  systemIdsOf,
  type VmToPrune,
} from './free-space-candidates.ts';
import { deleteAll, proveAll } from './free-space-deletions.ts';
import { isShort, nextToGo, simulateDeletions, wantedBytes } from './free-space-policy.ts';
import {
  findSystems,
  hasKnownSystem,
  measureAhead,
  REAL,
  type Run,
  type SpacePruned,
  type SpaceReader,
  type SpaceRequest,
  type SpaceRun,
  shortOf,
  systemsOf,
  unknownSpace,
} from './free-space-run.ts';
import { deletionBy, notPruned, type PruneCandidate } from './prune-vm.ts';
import type { Decision } from './retention.ts';

/**
 * A prune of several VMs for free space: of the snapshots that no keep rule keeps, the oldest of all VMs is deleted first,
 * and the free space is measured again after each deletion, until every file system with images of the VMs has enough.
 */

/** Prunes for free space; a dry run only plans. A failure stops only its own VM, a signal stops all of them. */
export async function pruneForSpace(
  ctx: Context,
  vmsToPrune: readonly VmToPrune[],
  request: SpaceRequest,
  reader: SpaceReader = REAL,
): Promise<SpaceRun> {
  const entries: Entry[] = [];
  for (const vmToPrune of vmsToPrune) entries.push(await enter(ctx, vmToPrune, request));
  const systemsByPath = await findSystems(ctx, entries, reader);
  const run: Run = { ctx, request, reader, entries, systemsByPath, unyielding: new Set() };
  for (const entry of entries) if (!hasKnownSystem(run, entry)) close(entry, unknownSpace(entry));
  const before = systemsOf(run);
  const after = ctx.settings.dryRun ? await foreseeAll(run, before) : await deleteAll(run, before);
  await proveAll(run);
  const short = shortOf(run, after);
  return {
    vms: entries.map((entry) => conclude(run, entry, short)),
    fileSystems: after.map((now, i) => ({
      mountPoint: now.mountPoint,
      sizeBytes: now.sizeBytes,
      wantedBytes: wantedBytes(now, request.freeMin),
      freeBytesBefore: before[i]?.freeBytes ?? now.freeBytes,
      freeBytes: now.freeBytes,
      reached: !isShort(now, request.freeMin),
      unyielding: run.unyielding.has(now.id),
    })),
  };
}

/**
 * Plans without deleting: measures the images of each VM whose snapshots could help, and adds up what the deletions would
 * free.
 */
async function foreseeAll(
  run: Run,
  before: readonly MountedFileSystem[],
): Promise<readonly MountedFileSystem[]> {
  const { entries, systemsByPath, request } = run;
  const short = shortOf(run, before);
  for (const entry of entries)
    if (nextToGo(choicesOf(entry, systemsByPath), short)) await measureAhead(run, entry);
  const choices = () => entries.flatMap((entry) => choicesOf(entry, systemsByPath));
  let { goes, fileSystems } = simulateDeletions(choices(), before, request.freeMin);
  // a deletion that a rule refuses frees nothing, so the plan continues with others
  while (await refuseSome(run, goes))
    ({ goes, fileSystems } = simulateDeletions(choices(), before, request.freeMin));
  for (const { entry, decision, frees, name } of goes) {
    entry.gone.push(decision);
    entry.plan = entry.plan.filter(({ snapshot }) => snapshot.name !== name);
    const bytes = [...frees.values()].reduce((sum, each) => sum + each, 0);
    entry.freedBytes =
      entry.freedBytes === null || !entry.expected.has(name) ? null : entry.freedBytes + bytes;
  }
  return fileSystems;
}

/** Records the deletions that a rule would refuse; true if there are some. */
async function refuseSome({ ctx, request, entries }: Run, goes: readonly Removable[]): Promise<boolean> {
  let isAny = false;
  for (const entry of entries) {
    const names = goes.filter((choice) => choice.entry === entry).map(({ name }) => name);
    const { refused } = await planDeletions(ctx, entry.vm, names, deletionBy(request));
    for (const { name, failure } of refused) entry.done.push(notPruned(name, failure));
    isAny ||= refused.length > 0;
  }
  return isAny;
}

/**
 * The result for one VM. Each snapshot that stays although no keep rule keeps it gets the reason, unless the run ended
 * before its turn.
 */
function conclude(run: Run, entry: Entry, short: ReadonlySet<string>): SpacePruned {
  const { ctx, systemsByPath, unyielding } = run;
  const { vm, plan, gone, done, failure, alone, freedBytes } = entry;
  const cutShort =
    ctx.interrupts.pending !== null && nextToGo(choicesOf(entry, systemsByPath), short) !== null;
  const isKnown = hasKnownSystem(run, entry);
  const staying = new Set(cutShort || (entry.isClosed && isKnown) ? [] : leaving(entry));
  const why = (decision: Decision<PruneCandidate>): string => {
    if (!isKnown) return 'free space unknown';
    if (isUnmeasurable(entry, decision))
      return 'external: too little space to merge it, or unknown how much it frees';
    const isIn = systemIdsOf(entry, decision, systemsByPath).some((id) => unyielding.has(id));
    return isIn ? 'deleting frees nothing' : 'enough free';
  };
  const settled = plan.map((decision) =>
    staying.has(decision) ? { ...decision, keep: true, reasons: [why(decision)] } : decision,
  );
  return {
    plan: [...gone, ...settled].sort((a, b) => byTimeAndName(a.snapshot, b.snapshot)),
    done,
    failure,
    freed: {
      bytes: freedBytes === null ? null : Math.max(0, freedBytes),
      // overlays that are merged one after another free more than each of them alone
      approximate:
        isActive(vm.domain.state) ||
        gone.some(({ snapshot: { report } }) => report !== null && locationOf(report) === 'external'),
    },
    alone,
    cutShort,
  };
}
