import type { Deletions } from '../delete/series.ts';
import type { KvmsnapError } from '../errors.ts';
import type { MountedFileSystem } from '../host/file-systems.ts';
import { chainPaths, linkOf } from '../model/image.ts';
import { locationOf } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import type { SnapshotCost, VmSpace } from '../space/measure.ts';
import type { Vm } from '../vm/load.ts';
import type { Freeing } from './free-space-policy.ts';
import { type PruneCandidate, type Pruned, type PruneRequest, planWithExternal } from './prune-vm.ts';
import type { Decision } from './retention.ts';

/** The VMs of a prune for free space, with the snapshots that may be deleted and the file systems that contain them. */

/** A VM to prune; `fresh` is the snapshot that this run has taken, or would take in a dry run. */
export interface VmToPrune {
  readonly vm: Vm;
  readonly fresh: string | null;
}

/** A VM to prune, with the progress of the run. */
export interface Entry {
  readonly fresh: string | null;
  vm: Vm;
  plan: readonly Decision<PruneCandidate>[];
  /** Whether the VM was read again when its turn came, which may be long after the start. */
  isFreshlyRead: boolean;
  /** Whether `expected` and `alone` were measured. */
  isMeasured: boolean;
  /** By name and file system, the bytes that each deletion frees after all older ones; for an external snapshot, alone. */
  expected: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** By name, the bytes that each deletion frees alone. */
  alone: ReadonlyMap<string, number>;
  readonly gone: Decision<PruneCandidate>[];
  readonly done: Pruned[];
  freedBytes: number | null;
  failure: KvmsnapError | null;
  /** Whether no more snapshots of it can be deleted in this run. */
  isClosed: boolean;
  /** The deletions of this VM, once the first has begun. */
  deletions: Deletions | null;
}

/** A snapshot that may be deleted. */
export interface Removable extends Freeing {
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

/** Deletes no more snapshots of the VM, for that reason. */
export function close(entry: Entry, failure: KvmsnapError): void {
  entry.failure = failure;
  entry.isClosed = true;
}

/** The images that the VM writes to, if they are files of this host. */
export function activePaths({ vm: { domain, images } }: Entry): string[] {
  return [...images].flatMap(([target, image]) => {
    if (image.kind === 'seen') return [image.chain[0].path];
    if (image.kind === 'broken' || image.why !== 'permission') return [];
    return domain.disks.find((disk) => disk.target === target)?.source ?? [];
  });
}

/** A file that a deletion of the snapshot changes or removes; target null: it belongs to no disk. */
interface Affected {
  readonly target: string | null;
  readonly path: string;
}

/**
 * The images that contain the snapshot (below an overlay they are not the active ones), its overlays, the images into which
 * these are merged, and its memory file.
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

/** All files that matter: those that the VM writes to, and those that a deletion would shrink. */
export function allPaths(entry: Entry): string[] {
  const holding = leaving(entry).flatMap((decision) => filesOf(entry, decision).map(({ path }) => path));
  return [...activePaths(entry), ...holding];
}

/** The snapshots that no keep rule keeps and that were not tried yet, oldest first. */
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

/**
 * Whether the snapshot is external, and it is unknown how much its deletion frees or whether there is space for its
 * merge.
 */
export const isUnmeasurable = (
  { isMeasured, expected }: Entry,
  { snapshot }: Decision<PruneCandidate>,
): boolean =>
  isMeasured &&
  !expected.has(snapshot.name) &&
  snapshot.report !== null &&
  locationOf(snapshot.report) === 'external';

/** The snapshots of a VM that may be deleted now. */
export function choicesOf(entry: Entry, systemsByPath: SystemsByPath): Removable[] {
  if (entry.isClosed) return [];
  const choices = leaving(entry).filter((decision) => !isUnmeasurable(entry, decision));
  let createdAtSeconds = 0;
  return choices.map((decision) => {
    const { name } = decision.snapshot;
    // never older than the snapshots before it: the clock may have been set back (hazard 52)
    createdAtSeconds = Math.max(createdAtSeconds, decision.snapshot.createdAtSeconds);
    const expected = entry.expected.get(name);
    const frees = new Map(
      systemIdsOf(entry, decision, systemsByPath).map((id) => [id, expected?.get(id) ?? 0]),
    );
    return { vm: entry.vm.domain.name, name, createdAtSeconds, frees, entry, decision };
  });
}

/** Records what each deletion would free, from the measured space of the VM. Snapshots with unknown figures are left out. */
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

/** By file system, the bytes that the deletion of an internal snapshot frees in addition to the earlier ones (`soFar`, by target). */
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
 * The same for an external snapshot: null if that is unknown, or if the files below grow by more than is free before the
 * overlays are removed.
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
