import type { Context } from '../context.ts';
import { isActive } from '../core/domain.ts';
import {
  type Expendable,
  type FreeMin,
  foresee,
  isShort,
  nextToGo,
  wantedBytes,
} from '../core/free-space.ts';
import { byTimeAndName } from '../core/labels.ts';
import type { Decision } from '../core/retention.ts';
import { internalDisks } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import { humanBytes } from '../render/format.ts';
import { deleteSnapshot } from './delete-snapshots.ts';
import { fileSystemOf, type MountedFileSystem } from './file-systems.ts';
import { type Freed, measureIfPossible, occupiedBy } from './freed.ts';
import { type Machine, readAgain } from './machine.ts';
import { type PruneCandidate, type Pruned, type PruneRequest, planPrune } from './prune-snapshots.ts';
import type { MachineSpace } from './snapshot-space.ts';

/**
 * A prune of several machines for free space: of what no rule keeps, the oldest of all goes first, and what is free is
 * measured again after each, until every file system of the machines' images has enough.
 */

export interface SpaceRequest extends PruneRequest {
  readonly freeMin: FreeMin;
}

/** A machine that takes part; `fresh` is what this run has taken of it, or in a dry run would. */
export interface Contender {
  readonly machine: Machine;
  readonly fresh: string | null;
}

/** What became of one machine's snapshots. */
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
  readonly barren: boolean;
}

export interface SpaceRun {
  /** In the order of the contenders. */
  readonly machines: readonly SpacePruned[];
  readonly fileSystems: readonly SpaceChange[];
}

/** A contender as the run goes on. */
interface Entry {
  readonly fresh: string | null;
  machine: Machine;
  plan: readonly Decision<PruneCandidate>[];
  /** Looked at when its turn had come, which may be long after the start. */
  isFreshlyRead: boolean;
  /** By name and file system, what each gives back when all older ones are gone. */
  expected: ReadonlyMap<string, ReadonlyMap<string, number>>;
  alone: ReadonlyMap<string, number>;
  readonly gone: Decision<PruneCandidate>[];
  readonly done: Pruned[];
  freedBytes: number | null;
  failure: KvmsnapError | null;
  /** Nothing more can be deleted of it now. */
  isClosed: boolean;
}

interface Choice extends Expendable {
  readonly entry: Entry;
  readonly decision: Decision<PruneCandidate>;
}

/** By path of an image, its file system. */
type Places = ReadonlyMap<string, MountedFileSystem>;

/** Prunes for space; with `--dry-run` by what is foreseen. A failure stops no other machine, a signal all of them. */
export async function pruneForSpace(
  ctx: Context,
  contenders: readonly Contender[],
  request: SpaceRequest,
): Promise<SpaceRun> {
  const entries = contenders.map(({ machine, fresh }) => enter(ctx, machine, fresh, request));
  const places = await findPlaces(entries);
  for (const entry of entries) if (!isPlaced(entry, places)) close(entry, unknownSpace(entry));
  const wanted = new Set(entries.flatMap(activePaths).flatMap((path) => places.get(path)?.id ?? []));
  const before = [...new Map([...places.values()].map((place) => [place.id, place])).values()].filter(
    ({ id }) => wanted.has(id),
  );
  const barren = new Set<string>();
  const after = ctx.settings.dryRun
    ? await foreseeAll(ctx, entries, places, before, request)
    : await deleteAll(ctx, entries, places, before, barren, request);
  const changes = before.map((system): SpaceChange => {
    const now = after.find(({ id }) => id === system.id) ?? system;
    return {
      mountPoint: system.mountPoint,
      sizeBytes: now.sizeBytes,
      wantedBytes: wantedBytes(now, request.freeMin),
      freeBytesBefore: system.freeBytes,
      freeBytes: now.freeBytes,
      reached: !isShort(now, request.freeMin),
      barren: barren.has(system.id),
    };
  });
  const short = shortOf(after, request.freeMin);
  return {
    machines: entries.map((entry) => conclude(ctx, entry, places, short, barren)),
    fileSystems: changes,
  };
}

/** The failure of a run after which too little is free; null when all have enough. */
export function shortage(fileSystems: readonly SpaceChange[]): KvmsnapError | null {
  const short = fileSystems.filter(({ reached }) => !reached);
  if (short.length === 0) return null;
  const each = short.map(({ mountPoint, freeBytes, wantedBytes, sizeBytes, barren }) => {
    const why = barren ? 'deleting gives nothing back there' : 'nothing is left that may be deleted for it';
    return `${mountPoint} has ${humanBytes(freeBytes)} of ${humanBytes(sizeBytes)} free, and ${humanBytes(wantedBytes)} are wanted: ${why}`;
  });
  return new KvmsnapError('check', each.join('\n       '), {
    hint: 'what a rule or a hold keeps is never deleted for space; kvmsnap space MACHINE shows what it costs',
  });
}

function enter(ctx: Context, machine: Machine, fresh: string | null, request: PruneRequest): Entry {
  return {
    fresh,
    machine,
    plan: planPrune(ctx, machine, request, fresh),
    isFreshlyRead: false,
    expected: new Map(),
    alone: new Map(),
    gone: [],
    done: [],
    freedBytes: 0,
    failure: null,
    isClosed: false,
  };
}

function close(entry: Entry, failure: KvmsnapError): void {
  entry.failure = failure;
  entry.isClosed = true;
}

const unknownSpace = ({ machine: { domain } }: Entry): KvmsnapError =>
  new KvmsnapError(
    'check',
    `how much is free beside the images of '${domain.name}' cannot be told, so nothing of it was deleted`,
    { hint: 'they are on no file system of this host, or out of reach for this user' },
  );

/** The images that the machine writes to, as far as they are files of this host. */
function activePaths({ machine: { domain, images } }: Entry): string[] {
  return [...images].flatMap(([target, image]) => {
    if (image.kind === 'seen') return [image.chain[0].path];
    if (image.kind === 'broken' || image.why !== 'permission') return [];
    return domain.disks.find((disk) => disk.target === target)?.source ?? [];
  });
}

/** Those that hold a snapshot; under an overlay that is another one. */
function pathsOf({ machine: { images } }: Entry, { snapshot: { report } }: Decision<PruneCandidate>) {
  return (report ? internalDisks(report) : []).flatMap(({ target, source }) => {
    const image = images.get(target);
    const path = source ?? (image?.kind === 'seen' ? image.chain[0].path : null);
    return path === null ? [] : [{ target, path }];
  });
}

const isPlaced = (entry: Entry, places: Places): boolean =>
  activePaths(entry).some((path) => places.has(path));

async function findPlaces(entries: readonly Entry[]): Promise<Places> {
  const paths = entries.flatMap((entry) => [
    ...activePaths(entry),
    ...leaving(entry).flatMap((decision) => pathsOf(entry, decision).map(({ path }) => path)),
  ]);
  const found = await Promise.all(
    [...new Set(paths)].map(async (path) => [path, await fileSystemOf(path)] as const),
  );
  return new Map(found.flatMap(([path, system]) => (system ? [[path, system] as const] : [])));
}

/** What no rule keeps and is still there to be tried, oldest first. */
const leaving = ({ plan, done }: Entry): Decision<PruneCandidate>[] =>
  plan.filter(
    ({ keep, snapshot }) =>
      !keep && snapshot.report !== null && done.every(({ name }) => name !== snapshot.name),
  );

function choicesOf(entry: Entry, places: Places): Choice[] {
  if (entry.isClosed) return [];
  return leaving(entry).map((decision) => {
    const { name, createdAtSeconds } = decision.snapshot;
    const expected = entry.expected.get(name);
    const ids = pathsOf(entry, decision).flatMap(({ path }) => places.get(path)?.id ?? []);
    const frees = new Map(ids.map((id) => [id, expected?.get(id) ?? 0]));
    return { machine: entry.machine.domain.name, name, createdAtSeconds, frees, entry, decision };
  });
}

const shortOf = (systems: readonly MountedFileSystem[], freeMin: FreeMin): Set<string> =>
  new Set(systems.filter((system) => isShort(system, freeMin)).map(({ id }) => id));

/** Reads the images of each machine that could help, and counts on. */
async function foreseeAll(
  ctx: Context,
  entries: readonly Entry[],
  places: Places,
  before: readonly MountedFileSystem[],
  { freeMin }: SpaceRequest,
): Promise<readonly MountedFileSystem[]> {
  const short = shortOf(before, freeMin);
  for (const entry of entries)
    if (nextToGo(choicesOf(entry, places), short)) await expect(ctx, entry, places);
  const choices = entries.flatMap((entry) => choicesOf(entry, places));
  const { goes, fileSystems } = foresee(choices, before, freeMin);
  for (const { entry, decision, frees, name } of goes) {
    entry.gone.push(decision);
    entry.plan = entry.plan.filter(({ snapshot }) => snapshot.name !== name);
    const known = entry.expected.has(name);
    const bytes = [...frees.values()].reduce((sum, each) => sum + each, 0);
    entry.freedBytes = entry.freedBytes === null || !known ? null : entry.freedBytes + bytes;
  }
  return fileSystems;
}

/** Looks up what each gives back when it goes after all older ones; what cannot be read is not expected to give anything. */
async function expect(ctx: Context, entry: Entry, places: Places): Promise<void> {
  const decisions = leaving(entry);
  const names = decisions.map(({ snapshot }) => snapshot.name);
  const space = await measureIfPossible(ctx, entry.machine, names);
  if (!space) return;
  entry.expected = inTurn(entry, decisions, places, space);
  entry.alone = new Map(
    space.snapshots.flatMap(({ snapshot: { name }, cost }) => (cost ? [[name, cost.frees.hostBytes]] : [])),
  );
}

function inTurn(
  entry: Entry,
  decisions: readonly Decision<PruneCandidate>[],
  places: Places,
  { snapshots }: MachineSpace,
): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const soFar = new Map<string, number>();
  return new Map(
    decisions.flatMap((decision) => {
      const found = snapshots.find(({ snapshot }) => snapshot.name === decision.snapshot.name);
      if (!found?.cost) return [];
      const bySystem = new Map<string, number>();
      for (const { target, path } of pathsOf(entry, decision)) {
        const id = places.get(path)?.id;
        const cost = found.disks.find((disk) => disk.target === target)?.cost;
        if (id === undefined || !cost) continue;
        const until = cost.freesTogether.hostBytes;
        const gained = until - (soFar.get(target) ?? 0);
        soFar.set(target, until);
        bySystem.set(id, (bySystem.get(id) ?? 0) + gained);
      }
      return [[decision.snapshot.name, bySystem] as const];
    }),
  );
}

async function deleteAll(
  ctx: Context,
  entries: readonly Entry[],
  places: Places,
  before: readonly MountedFileSystem[],
  barren: Set<string>,
  request: SpaceRequest,
): Promise<readonly MountedFileSystem[]> {
  const { freeMin } = request;
  const paths = new Map([...places].map(([path, { id }]) => [id, path]));
  let systems = before;
  for (;;) {
    const short = shortOf(systems, freeMin);
    for (const id of barren) short.delete(id);
    const choice = nextToGo(
      entries.flatMap((entry) => choicesOf(entry, places)),
      short,
    );
    if (!choice || ctx.interrupts.pending) return systems;
    const { entry } = choice;
    if (!entry.isFreshlyRead) {
      await refresh(ctx, entry, request);
      await expect(ctx, entry, places);
      continue;
    }
    const released = await deleteOne(ctx, choice, request);
    const measured = await settle(ctx, systems, paths, choice);
    for (const id of choice.frees.keys())
      if (short.has(id) && isBarren(choice, id, released, systems, measured)) barren.add(id);
    systems = measured;
  }
}

/** Somebody may have put one on hold, or deleted it, since the start. */
async function refresh(ctx: Context, entry: Entry, request: PruneRequest): Promise<void> {
  entry.isFreshlyRead = true;
  try {
    entry.machine = await readAgain(ctx, entry.machine.domain);
    entry.plan = planPrune(ctx, entry.machine, request, entry.fresh);
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    close(entry, error);
  }
}

/** Deletes it, and returns by how many bytes the machine's images have shrunk; null when that failed or is not known. */
async function deleteOne(
  ctx: Context,
  { entry, decision, name }: Choice,
  request: PruneRequest,
): Promise<number | null> {
  const { report } = decision.snapshot;
  if (!report) return null;
  const before = await occupiedBy(entry.machine);
  try {
    const { machine } = await deleteSnapshot(ctx, entry.machine, report, {
      reach: 'only',
      metadataOnly: false,
      leftovers: false,
    });
    entry.machine = machine;
    entry.plan = planPrune(ctx, machine, request, entry.fresh);
    entry.gone.push(decision);
    entry.done.push({ name, failure: null });
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    entry.done.push({ name, failure: error });
    if (error.code === 'busy') entry.isClosed = true;
    return null;
  }
  const after = await occupiedBy(entry.machine);
  const released = before === null || after === null ? null : before - after;
  entry.freedBytes = entry.freedBytes === null || released === null ? null : entry.freedBytes + released;
  return released;
}

/** Less than this may be lost in what a deletion writes itself. */
const NOTABLE_BYTES = 1024 * 1024;
const LOOKS = 20;
const LOOK_MILLISECONDS = 250;

/**
 * The file systems after a deletion. Some (btrfs, ZFS) count what is freed seconds later, and the next snapshot must not go
 * for it: where a notable part of what is expected has not come, they are looked at again for a while.
 */
async function settle(
  ctx: Context,
  before: readonly MountedFileSystem[],
  paths: ReadonlyMap<string, string>,
  { frees, entry, name }: Choice,
): Promise<readonly MountedFileSystem[]> {
  const isGone = entry.done.some((each) => each.name === name && each.failure === null);
  for (let left = isGone ? LOOKS : 0; ; left--) {
    const now = await Promise.all(
      before.map(async (system) => (await fileSystemOf(paths.get(system.id) ?? '')) ?? system),
    );
    const isAwaited = (system: MountedFileSystem, i: number) => {
      const expected = frees.get(system.id) ?? 0;
      const gained = system.freeBytes - (before[i]?.freeBytes ?? 0);
      return expected >= NOTABLE_BYTES && gained < expected / 2;
    };
    if (left === 0 || ctx.interrupts.pending || !now.some(isAwaited)) return now;
    await ctx.clock.sleep(LOOK_MILLISECONDS);
  }
}

/** Whether a deletion that was to give something back gave nothing: a file system that cannot free a part of a file. */
function isBarren(
  { frees }: Choice,
  id: string,
  released: number | null,
  before: readonly MountedFileSystem[],
  after: readonly MountedFileSystem[],
): boolean {
  const freeOf = (systems: readonly MountedFileSystem[]) =>
    systems.find((system) => system.id === id)?.freeBytes ?? 0;
  return (
    (frees.get(id) ?? 0) >= NOTABLE_BYTES &&
    released !== null &&
    released <= 0 &&
    freeOf(after) <= freeOf(before)
  );
}

function conclude(
  ctx: Context,
  entry: Entry,
  places: Places,
  short: ReadonlySet<string>,
  barren: ReadonlySet<string>,
): SpacePruned {
  const { machine, plan, gone, done, failure, alone, freedBytes } = entry;
  const cutShort = ctx.interrupts.pending !== null && nextToGo(choicesOf(entry, places), short) !== null;
  const remaining = cutShort || (entry.isClosed && isPlaced(entry, places)) ? [] : leaving(entry);
  const why = (decision: Decision<PruneCandidate>): string => {
    if (!isPlaced(entry, places)) return 'free space not known';
    const ids = pathsOf(entry, decision).flatMap(({ path }) => places.get(path)?.id ?? []);
    return ids.some((id) => barren.has(id)) ? 'deleting gives nothing back' : 'enough free';
  };
  const settled = plan.map((decision) =>
    remaining.includes(decision) ? { ...decision, keep: true, reasons: [why(decision)] } : decision,
  );
  return {
    plan: [...gone, ...settled].sort((a, b) => byTimeAndName(a.snapshot, b.snapshot)),
    done,
    failure,
    freed: {
      bytes: freedBytes === null ? null : Math.max(0, freedBytes),
      approximate: isActive(machine.domain.state),
    },
    alone,
    cutShort,
  };
}
