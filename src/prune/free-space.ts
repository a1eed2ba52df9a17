import { planDeletions } from '../delete/dry-run.ts';
import type { UnusedFilesFound } from '../delete/remove-unused-files.ts';
import { openDeletions } from '../delete/series.ts';
import { KvmsnapError } from '../errors.ts';
import { fileSystemOf, type MountedFileSystem } from '../host/file-systems.ts';
import { isActive } from '../model/domain.ts';
import { byTimeAndName } from '../model/labels.ts';
import { locationOf } from '../model/snapshot.ts';
import { humanBytes } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import { type Freed, measureIfPossible, occupiedBy } from '../space/reclaimed.ts';
import { readAgain } from '../vm/load.ts';
import {
  activePaths,
  allPaths,
  type Choice,
  choicesOf,
  close,
  type Entry,
  enter,
  expectFrom,
  isUntold,
  leaving,
  type SystemsByPath,
  systemIdsOf,
  type VmToPrune,
} from './free-space-candidates.ts';
import { type FreeMin, foresee, isShort, nextToGo, wantedBytes } from './free-space-policy.ts';
import {
  deletionBy,
  notPruned,
  type PruneCandidate,
  type Pruned,
  type PruneRequest,
  planWithExternal,
} from './prune.ts';
import type { Decision } from './retention.ts';

/**
 * A prune of several VMs for free space: of what no rule keeps, the oldest of all goes first, and what is free is
 * measured again after each, until every file system of the VMs' images has enough.
 */

export interface SpaceRequest extends PruneRequest {
  readonly freeMin: FreeMin;
}

/** What became of one VM's snapshots. */
export interface SpacePruned {
  readonly plan: readonly Decision<PruneCandidate>[];
  readonly done: readonly Pruned[];
  /** Why it had to be left alone. */
  readonly failure: KvmsnapError | null;
  /** In a dry run, what is foreseen. */
  readonly freed: Freed;
  /** In a dry run, what each alone would free, by name. */
  readonly alone: ReadonlyMap<string, number>;
  readonly cutShort: boolean;
}

/** A file system before and after. */
export interface SpaceChange {
  readonly mountPoint: string;
  readonly sizeBytes: number;
  readonly wantedBytes: number;
  readonly freeBytesBefore: number;
  readonly freeBytes: number;
  readonly reached: boolean;
  /** A deletion gave nothing back there, so no more were tried. */
  readonly unyielding: boolean;
}

export interface SpaceRun {
  /** In the order of the VMs to prune. */
  readonly vms: readonly SpacePruned[];
  readonly fileSystems: readonly SpaceChange[];
}

/** How this looks at the world; a test has another one. */
export interface SpaceReader {
  readonly fileSystemOf: typeof fileSystemOf;
  readonly measure: typeof measureIfPossible;
  readonly occupiedBy: typeof occupiedBy;
}

const REAL: SpaceReader = { fileSystemOf, measure: measureIfPossible, occupiedBy };

interface Run {
  readonly ctx: Context;
  readonly request: SpaceRequest;
  readonly reader: SpaceReader;
  readonly entries: readonly Entry[];
  readonly systemsByPath: SystemsByPath;
  /** The file systems to which deleting gives nothing back. */
  readonly unyielding: Set<string>;
}

/** Prunes for space; with `--dry-run` by what is foreseen. A failure stops no other VM, a signal all of them. */
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

/** The failure of a run after which too little is free; null when all have enough. */
export function shortage(fileSystems: readonly SpaceChange[]): KvmsnapError | null {
  const short = fileSystems.filter(({ reached }) => !reached);
  if (short.length === 0) return null;
  const each = short.map(({ mountPoint, freeBytes, wantedBytes, sizeBytes, unyielding }) => {
    const why = unyielding
      ? 'deleting gives nothing back there'
      : 'nothing is left that may be deleted for it';
    return {
      message: `${mountPoint} has ${humanBytes(freeBytes)} of ${humanBytes(sizeBytes)} free, and ${humanBytes(wantedBytes)} are wanted: ${why}`,
      hint: 'what a rule or a hold keeps is never deleted for space; kvmsnap space VM shows what it costs',
      commands: [],
    };
  });
  return KvmsnapError.of('check', null, each);
}

async function findSystems(
  ctx: Context,
  entries: readonly Entry[],
  reader: SpaceReader,
): Promise<SystemsByPath> {
  const found = await Promise.all(
    [...new Set(entries.flatMap(allPaths))].map(
      async (path) => [path, await reader.fileSystemOf(ctx.files, path)] as const,
    ),
  );
  return new Map(found.flatMap(([path, system]) => (system ? [[path, system] as const] : [])));
}

/** Whether it can be told how much is free for it. */
const hasKnownSystem = ({ systemsByPath }: Pick<Run, 'systemsByPath'>, entry: Entry): boolean =>
  activePaths(entry).some((path) => systemsByPath.has(path));

const unknownSpace = ({ vm: { domain } }: Entry): KvmsnapError =>
  new KvmsnapError(
    'check',
    `how much is free beside the images of '${domain.name}' cannot be told, so nothing of it was deleted`,
    { hint: 'they are on no file system of this host, or out of reach for this user' },
  );

/** The file systems that are to have enough: those that the VMs write to. */
function systemsOf({ entries, systemsByPath }: Run): readonly MountedFileSystem[] {
  const systems = entries.flatMap(activePaths).flatMap((path) => systemsByPath.get(path) ?? []);
  return [...new Map(systems.map((system) => [system.id, system])).values()];
}

/** The ids of those that have too little, and can be helped. */
const shortOf = ({ unyielding, request }: Run, systems: readonly MountedFileSystem[]): Set<string> =>
  new Set(
    systems
      .filter((system) => isShort(system, request.freeMin) && !unyielding.has(system.id))
      .map(({ id }) => id),
  );

/** Reads the images of each VM that could help, and counts on. */
async function foreseeAll(
  run: Run,
  before: readonly MountedFileSystem[],
): Promise<readonly MountedFileSystem[]> {
  const { entries, systemsByPath, request } = run;
  const short = shortOf(run, before);
  for (const entry of entries)
    if (nextToGo(choicesOf(entry, systemsByPath), short)) await measureAhead(run, entry);
  const choices = () => entries.flatMap((entry) => choicesOf(entry, systemsByPath));
  let { goes, fileSystems } = foresee(choices(), before, request.freeMin);
  // what a rule is against frees nothing, and others go instead
  while (await refuseSome(run, goes)) ({ goes, fileSystems } = foresee(choices(), before, request.freeMin));
  for (const { entry, decision, frees, name } of goes) {
    entry.gone.push(decision);
    entry.plan = entry.plan.filter(({ snapshot }) => snapshot.name !== name);
    const bytes = [...frees.values()].reduce((sum, each) => sum + each, 0);
    entry.freedBytes =
      entry.freedBytes === null || !entry.expected.has(name) ? null : entry.freedBytes + bytes;
  }
  return fileSystems;
}

/** Notes those that could not be deleted, as the run would find; true: there are some. */
async function refuseSome({ ctx, request, entries }: Run, goes: readonly Choice[]): Promise<boolean> {
  let isAny = false;
  for (const entry of entries) {
    const names = goes.filter((choice) => choice.entry === entry).map(({ name }) => name);
    const { refused } = await planDeletions(ctx, entry.vm, names, deletionBy(request));
    for (const { name, failure } of refused) entry.done.push(notPruned(name, failure));
    isAny ||= refused.length > 0;
  }
  return isAny;
}

/** Where the images cannot be measured, nothing is expected. */
async function measureAhead({ ctx, reader, systemsByPath }: Run, entry: Entry): Promise<void> {
  const names = leaving(entry).map(({ snapshot }) => snapshot.name);
  const space = await reader.measure(ctx, entry.vm, names);
  entry.isMeasured = true;
  entry.expected = new Map();
  if (space) expectFrom(entry, space, systemsByPath);
}

async function deleteAll(
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
      continue; // it may be another one then
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

/** Somebody may have put one on hold, or deleted it, since the start. */
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

/** Deletes it, and returns by how many bytes the VM's images have shrunk; null when it failed or that is not known. */
async function deleteOne(run: Run, { entry, decision, name }: Choice): Promise<number | null> {
  const { ctx, request, reader } = run;
  const { report } = decision.snapshot;
  if (!report) return null;
  const { vm } = entry;
  const before = await reader.occupiedBy(ctx.files, vm);
  let found: UnusedFilesFound;
  try {
    entry.deletions ??= openDeletions(vm, deletionBy(request));
    ctx.terminal.progress(`'${name}' of '${vm.domain.name}'`);
    const { gone: _, ...others } = await entry.deletions.delete(ctx, name);
    entry.vm = entry.deletions.vm;
    found = others;
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    if (error === ctx.interrupts.pending && isBegun(run)) return null; // it met the signal before its write
    entry.done.push(notPruned(name, error));
    if (error.code === 'busy') entry.isClosed = true; // each of its others would wait as long again
    return null;
  }
  entry.done.push({ name, failure: null, ...found });
  entry.gone.push(decision);
  entry.plan = await planWithExternal(ctx, entry.vm, request, entry.fresh);
  const after = await reader.occupiedBy(ctx.files, vm);
  const released = before === null || after === null ? null : before - after;
  // the next overlay lies on another file now
  if (locationOf(report) === 'external') await measureAhead(run, entry);
  entry.freedBytes = entry.freedBytes === null || released === null ? null : entry.freedBytes + released;
  return released;
}

const isBegun = ({ entries }: Run): boolean => entries.some(({ done }) => done.length > 0);

/** What virsh reported as deleted is looked at, as far as that has not been done; what is not so has failed. */
async function proveAll({ ctx, entries }: Run): Promise<void> {
  for (const { deletions, done } of entries) {
    const failures = (await deletions?.prove(ctx)) ?? new Map<string, KvmsnapError>();
    for (const [i, { name }] of done.entries()) {
      const failure = failures.get(name);
      if (failure) done[i] = notPruned(name, failure);
    }
  }
}

/** Less than this may be lost in what a deletion writes itself. */
const NOTABLE_BYTES = 1024 * 1024;
const LOOKS = 20;
const LOOK_MILLISECONDS = 250;

/**
 * The file systems after a deletion. Some (btrfs, ZFS) count what is freed seconds later, and the next snapshot must not go
 * for that: where a notable part of what is expected has not come, they are looked at again for a while.
 */
async function settle(
  { ctx, reader, systemsByPath }: Run,
  before: readonly MountedFileSystem[],
  { frees, entry, name }: Choice,
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
  for (let left = isGone ? LOOKS : 0; ; left--) {
    const now = await Promise.all(before.map(readNow));
    const isAwaited = (system: MountedFileSystem, i: number) => {
      const expected = frees.get(system.id) ?? 0;
      return expected >= NOTABLE_BYTES && system.freeBytes - (before[i]?.freeBytes ?? 0) < expected / 2;
    };
    if (left === 0 || ctx.interrupts.pending || !now.some(isAwaited)) return now;
    await ctx.clock.sleep(LOOK_MILLISECONDS).catch(() => undefined); // the run ends: what is known is told
  }
}

/** What stays although no rule keeps it gets its reason, unless it was not come to. */
function conclude(run: Run, entry: Entry, short: ReadonlySet<string>): SpacePruned {
  const { ctx, systemsByPath, unyielding } = run;
  const { vm, plan, gone, done, failure, alone, freedBytes } = entry;
  const cutShort =
    ctx.interrupts.pending !== null && nextToGo(choicesOf(entry, systemsByPath), short) !== null;
  const isKnown = hasKnownSystem(run, entry);
  const staying = new Set(cutShort || (entry.isClosed && isKnown) ? [] : leaving(entry));
  const why = (decision: Decision<PruneCandidate>): string => {
    if (!isKnown) return 'free space not known';
    if (isUntold(entry, decision)) return 'external, and no room to merge it, or not known what it frees';
    const isIn = systemIdsOf(entry, decision, systemsByPath).some((id) => unyielding.has(id));
    return isIn ? 'deleting gives nothing back' : 'enough free';
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
      // one merged after another gives more than each alone
      approximate:
        isActive(vm.domain.state) ||
        gone.some(({ snapshot: { report } }) => report !== null && locationOf(report) === 'external'),
    },
    alone,
    cutShort,
  };
}
