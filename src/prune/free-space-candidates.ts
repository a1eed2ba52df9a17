import type { Deletions } from '../delete/series.ts';
import type { KvmsnapError } from '../errors.ts';
import type { MountedFileSystem } from '../host/file-systems.ts';
import { chainPaths, linkOf } from '../model/image.ts';
import { locationOf } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import type { SnapshotCost, VmSpace } from '../space/measure.ts';
import type { Vm } from '../vm/load.ts';
import type { Deletable } from './free-space-policy.ts';
import { type PruneCandidate, type Pruned, type PruneRequest, planWithExternal } from './prune.ts';
import type { Decision } from './retention.ts';

/** The VMs of a prune for space, with the snapshots that may go and the file systems that these are in. */

/** A VM that takes part; `fresh` is what this run has taken of it, or in a dry run would. */
export interface VmToPrune {
  readonly vm: Vm;
  readonly fresh: string | null;
}

/** A VM that takes part, as the run goes on. */
export interface Entry {
  readonly fresh: string | null;
  vm: Vm;
  plan: readonly Decision<PruneCandidate>[];
  /** Looked at when its turn had come, which may be long after the start. */
  isFreshlyRead: boolean;
  /** `expected` and `alone` are what was found, and not only what nobody has looked for yet. */
  isMeasured: boolean;
  /** By name and file system, what each gives back when all older ones are gone; of an external one, alone. */
  expected: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** By name, what each alone gives back. */
  alone: ReadonlyMap<string, number>;
  readonly gone: Decision<PruneCandidate>[];
  readonly done: Pruned[];
  freedBytes: number | null;
  failure: KvmsnapError | null;
  /** Nothing more can be deleted of it now. */
  isClosed: boolean;
  /** Those of this VM, once the first is begun. */
  deletions: Deletions | null;
}

/** A snapshot that may go. */
export interface Choice extends Deletable {
  readonly entry: Entry;
  readonly decision: Decision<PruneCandidate>;
}

/** By path of an image, its file system. */
export type SystemsByPath = ReadonlyMap<string, MountedFileSystem>;

/** The VM at the start of a run, with its plan. */
export async function enter(ctx: Context, { vm, fresh }: VmToPrune, request: PruneRequest): Promise<Entry> {
  return {
    fresh,
    vm,
    plan: await planWithExternal(ctx, vm, request, fresh),
    isFreshlyRead: false,
    isMeasured: false,
    expected: new Map(),
    alone: new Map(),
    gone: [],
    done: [],
    freedBytes: 0,
    failure: null,
    isClosed: false,
    deletions: null,
  };
}

/** Leaves it alone from now on, for that reason. */
export function close(entry: Entry, failure: KvmsnapError): void {
  entry.failure = failure;
  entry.isClosed = true;
}

/** The images that the VM writes to, as far as they are files of this host. */
export function activePaths({ vm: { domain, images } }: Entry): string[] {
  return [...images].flatMap(([target, image]) => {
    if (image.kind === 'seen') return [image.chain[0].path];
    if (image.kind === 'broken' || image.why !== 'permission') return [];
    return domain.disks.find((disk) => disk.target === target)?.source ?? [];
  });
}

/** A file that a deletion of the snapshot changes or removes; target null: no disk's. */
interface Affected {
  readonly target: string | null;
  readonly path: string;
}

/**
 * The images that hold the snapshot, which under an overlay are others than the active ones; its overlays, with what each is
 * merged into; and its memory.
 */
function filesOf({ vm: { images } }: Entry, { snapshot: { report } }: Decision<PruneCandidate>) {
  const disks = (report?.disks ?? []).flatMap(({ target, location, source }): Affected[] => {
    const image = images.get(target);
    const [active = null] = chainPaths(image);
    const below = location === 'external' && image && source ? linkOf(image, source) : null;
    const [, merged = null] = chainPaths(below ?? undefined);
    const paths = location === 'no' ? [] : [location === 'internal' ? (source ?? active) : source, merged];
    return paths.flatMap((path) => (path === null ? [] : [{ target, path }]));
  });
  const memory = report?.memory.file ?? null;
  return [...disks, ...(memory === null ? [] : [{ target: null, path: memory }])];
}

/** All files that matter: those written to, and those that a deletion would shrink. */
export function allPaths(entry: Entry): string[] {
  const holding = leaving(entry).flatMap((decision) => filesOf(entry, decision).map(({ path }) => path));
  return [...activePaths(entry), ...holding];
}

/** What no rule keeps and is still there to be tried, oldest first. */
export const leaving = ({ plan, done }: Entry): Decision<PruneCandidate>[] =>
  plan.filter(
    ({ keep, snapshot }) =>
      !keep && snapshot.report !== null && done.every(({ name }) => name !== snapshot.name),
  );

/** The ids of the file systems that a snapshot is in. */
export const systemIdsOf = (
  entry: Entry,
  decision: Decision<PruneCandidate>,
  systemsByPath: SystemsByPath,
): string[] => filesOf(entry, decision).flatMap(({ path }) => systemsByPath.get(path)?.id ?? []);

/** Whether it is external, and what it frees, or whether there is room for it, cannot be told. */
export const isUntold = ({ isMeasured, expected }: Entry, { snapshot }: Decision<PruneCandidate>): boolean =>
  isMeasured &&
  !expected.has(snapshot.name) &&
  snapshot.report !== null &&
  locationOf(snapshot.report) === 'external';

/** Which of its snapshots may go now; none where it is left alone. */
export function choicesOf(entry: Entry, systemsByPath: SystemsByPath): Choice[] {
  if (entry.isClosed) return [];
  const choices = leaving(entry).filter((decision) => !isUntold(entry, decision));
  let createdAtSeconds = 0;
  return choices.map((decision) => {
    const { name } = decision.snapshot;
    // as old as those before it at the most: the clock may have been set back (hazard 52)
    createdAtSeconds = Math.max(createdAtSeconds, decision.snapshot.createdAtSeconds);
    const expected = entry.expected.get(name);
    const frees = new Map(
      systemIdsOf(entry, decision, systemsByPath).map((id) => [id, expected?.get(id) ?? 0]),
    );
    return { vm: entry.vm.domain.name, name, createdAtSeconds, frees, entry, decision };
  });
}

/** Notes what each that may go gives back, by the VM's space measured in that order. What is not known is left out. */
export function expectFrom(entry: Entry, { snapshots }: VmSpace, systemsByPath: SystemsByPath): void {
  const soFar = new Map<string, number>();
  const costs = new Map(snapshots.map((cost) => [cost.snapshot.name, cost]));
  entry.alone = new Map(
    snapshots.flatMap(({ snapshot: { name }, cost }) => (cost ? [[name, cost.frees.hostBytes]] : [])),
  );
  entry.expected = new Map(
    leaving(entry).flatMap((decision) => {
      const found = costs.get(decision.snapshot.name);
      if (!found?.cost) return [];
      const bySystem =
        locationOf(found.snapshot) === 'external'
          ? freedByMerge(entry, decision, found, systemsByPath)
          : freedInside(entry, decision, found, { systemsByPath, soFar });
      return bySystem ? [[decision.snapshot.name, bySystem]] : [];
    }),
  );
}

/** By file system, what comes back of one inside the images, beyond what those before it (`soFar`, by target) gave. */
function freedInside(
  entry: Entry,
  decision: Decision<PruneCandidate>,
  { disks }: SnapshotCost,
  { systemsByPath, soFar }: { readonly systemsByPath: SystemsByPath; readonly soFar: Map<string, number> },
): ReadonlyMap<string, number> {
  const bySystem = new Map<string, number>();
  for (const { target, path } of filesOf(entry, decision)) {
    const id = systemsByPath.get(path)?.id;
    const until = disks.find((disk) => disk.target === target)?.cost?.freesTogether.hostBytes;
    if (id === undefined || until === undefined || target === null) continue;
    bySystem.set(id, (bySystem.get(id) ?? 0) + until - (soFar.get(target) ?? 0));
    soFar.set(target, until);
  }
  return bySystem;
}

/**
 * The same of an external one: null where that cannot be told, or where the files below grow, before the overlays go, by
 * more than is free.
 */
function freedByMerge(
  entry: Entry,
  decision: Decision<PruneCandidate>,
  { cost, disks }: SnapshotCost,
  systemsByPath: SystemsByPath,
): ReadonlyMap<string, number> | null {
  const files = filesOf(entry, decision);
  const freed = new Map<string, number>();
  const grown = new Map<string, number>();
  const count = (sums: Map<string, number>, id: string, bytes: number) =>
    sums.set(id, (sums.get(id) ?? 0) + bytes);
  for (const { target, cost } of disks) {
    const ids = new Set(
      files.filter((file) => file.target === target).map(({ path }) => systemsByPath.get(path)?.id),
    );
    const [id] = ids;
    if (!cost || id === undefined || ids.size > 1) return null;
    count(freed, id, cost.frees.hostBytes);
    count(grown, id, cost.holds.hostBytes - cost.frees.hostBytes);
  }
  const free = new Map([...systemsByPath.values()].map(({ id, freeBytes }) => [id, freeBytes]));
  if ([...grown].some(([id, bytes]) => bytes > (free.get(id) ?? 0))) return null;
  const ofDisks = [...freed.values()].reduce((sum, bytes) => sum + bytes, 0);
  const memory = files.find(({ target }) => target === null);
  const id = memory && systemsByPath.get(memory.path)?.id;
  if (id !== undefined) count(freed, id, (cost?.frees.hostBytes ?? ofDisks) - ofDisks);
  return freed;
}
