import type { Context } from '../context.ts';
import type { Expendable } from '../core/free-space.ts';
import type { Decision } from '../core/retention.ts';
import { internalDisks } from '../core/snapshot.ts';
import type { KvmsnapError } from '../errors.ts';
import type { MountedFileSystem } from './file-systems.ts';
import type { Machine } from './machine.ts';
import { type PruneCandidate, type Pruned, type PruneRequest, planPrune } from './prune-snapshots.ts';
import type { MachineSpace } from './snapshot-space.ts';

/** The machines of a prune for space, with the snapshots that may go and the file systems that these are in. */

/** A machine that takes part; `fresh` is what this run has taken of it, or in a dry run would. */
export interface Contender {
  readonly machine: Machine;
  readonly fresh: string | null;
}

/** A contender as the run goes on. */
export interface Entry {
  readonly fresh: string | null;
  machine: Machine;
  plan: readonly Decision<PruneCandidate>[];
  /** Looked at when its turn had come, which may be long after the start. */
  isFreshlyRead: boolean;
  /** By name and file system, what each gives back when all older ones are gone. */
  expected: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** By name, what each alone gives back. */
  alone: ReadonlyMap<string, number>;
  readonly gone: Decision<PruneCandidate>[];
  readonly done: Pruned[];
  freedBytes: number | null;
  failure: KvmsnapError | null;
  /** Nothing more can be deleted of it now. */
  isClosed: boolean;
}

/** A snapshot that may go. */
export interface Choice extends Expendable {
  readonly entry: Entry;
  readonly decision: Decision<PruneCandidate>;
}

/** By path of an image, its file system. */
export type Places = ReadonlyMap<string, MountedFileSystem>;

export function enter(ctx: Context, { machine, fresh }: Contender, request: PruneRequest): Entry {
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

/** Leaves it alone from now on, for that reason. */
export function close(entry: Entry, failure: KvmsnapError): void {
  entry.failure = failure;
  entry.isClosed = true;
}

/** The images that the machine writes to, as far as they are files of this host. */
export function activePaths({ machine: { domain, images } }: Entry): string[] {
  return [...images].flatMap(([target, image]) => {
    if (image.kind === 'seen') return [image.chain[0].path];
    if (image.kind === 'broken' || image.why !== 'permission') return [];
    return domain.disks.find((disk) => disk.target === target)?.source ?? [];
  });
}

/** The images that hold the snapshot; under an overlay these are others than the active ones. */
function imagesOf({ machine: { images } }: Entry, { snapshot: { report } }: Decision<PruneCandidate>) {
  return (report ? internalDisks(report) : []).flatMap(({ target, source }) => {
    const image = images.get(target);
    const path = source ?? (image?.kind === 'seen' ? image.chain[0].path : null);
    return path === null ? [] : [{ target, path }];
  });
}

/** All images that matter: those written to, and those that a deletion would shrink. */
export function allPaths(entry: Entry): string[] {
  const holding = leaving(entry).flatMap((decision) => imagesOf(entry, decision).map(({ path }) => path));
  return [...activePaths(entry), ...holding];
}

/** What no rule keeps and is still there to be tried, oldest first. */
export const leaving = ({ plan, done }: Entry): Decision<PruneCandidate>[] =>
  plan.filter(
    ({ keep, snapshot }) =>
      !keep && snapshot.report !== null && done.every(({ name }) => name !== snapshot.name),
  );

/** The ids of the file systems that a snapshot is in. */
export const placesOf = (entry: Entry, decision: Decision<PruneCandidate>, places: Places): string[] =>
  imagesOf(entry, decision).flatMap(({ path }) => places.get(path)?.id ?? []);

export function choicesOf(entry: Entry, places: Places): Choice[] {
  if (entry.isClosed) return [];
  return leaving(entry).map((decision) => {
    const { name, createdAtSeconds } = decision.snapshot;
    const expected = entry.expected.get(name);
    const frees = new Map(placesOf(entry, decision, places).map((id) => [id, expected?.get(id) ?? 0]));
    return { machine: entry.machine.domain.name, name, createdAtSeconds, frees, entry, decision };
  });
}

/** Notes what each that may go gives back, by the machine's space measured in that order. What is not known is left out. */
export function expectFrom(entry: Entry, { snapshots }: MachineSpace, places: Places): void {
  const soFar = new Map<string, number>();
  const costs = new Map(snapshots.map((cost) => [cost.snapshot.name, cost]));
  entry.alone = new Map(
    snapshots.flatMap(({ snapshot: { name }, cost }) => (cost ? [[name, cost.frees.hostBytes]] : [])),
  );
  entry.expected = new Map(
    leaving(entry).flatMap((decision) => {
      const found = costs.get(decision.snapshot.name);
      if (!found?.cost) return [];
      const bySystem = new Map<string, number>();
      for (const { target, path } of imagesOf(entry, decision)) {
        const id = places.get(path)?.id;
        const until = found.disks.find((disk) => disk.target === target)?.cost?.freesTogether.hostBytes;
        if (id === undefined || until === undefined) continue;
        bySystem.set(id, (bySystem.get(id) ?? 0) + until - (soFar.get(target) ?? 0));
        soFar.set(target, until);
      }
      return [[decision.snapshot.name, bySystem] as const];
    }),
  );
}
