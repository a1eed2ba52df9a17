import { KvmsnapError } from '../errors.ts';
import { fileSystemOf, type MountedFileSystem } from '../host/file-systems.ts';
import { inText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import { type Freed, measureIfPossible, occupiedBy } from '../space/reclaimed.ts';
import {
  activePaths,
  allPaths,
  type Entry,
  expectFrom,
  leaving,
  type SystemsByPath,
} from './free-space-candidates.ts';
import { type FreeMin, isShort } from './free-space-policy.ts';
import type { PruneCandidate, Pruned, PruneRequest } from './prune-vm.ts';
import type { Decision } from './retention.ts';

/** The facts of one prune for free space: the request, the VMs, and the file systems with their images. */

export interface SpaceRequest extends PruneRequest {
  readonly freeMin: FreeMin;
}

/** The result for one VM. */
export interface SpacePruned {
  readonly plan: readonly Decision<PruneCandidate>[];
  readonly done: readonly Pruned[];
  /** Why no more snapshots of this VM could be deleted. */
  readonly failure: KvmsnapError | null;
  /** In a dry run, what would be freed. */
  readonly freed: Freed;
  /** In a dry run, the bytes that each deletion alone would free, by name. */
  readonly alone: ReadonlyMap<string, number>;
  readonly cutShort: boolean;
}

/** A file system before and after the deletions. */
export interface SpaceChange {
  readonly mountPoint: string;
  readonly sizeBytes: number;
  readonly wantedBytes: number;
  readonly freeBytesBefore: number;
  readonly freeBytes: number;
  readonly reached: boolean;
  /** A deletion freed nothing there, so no more were tried. */
  readonly unyielding: boolean;
}

export interface SpaceRun {
  /** In the order of the VMs to prune. */
  readonly vms: readonly SpacePruned[];
  readonly fileSystems: readonly SpaceChange[];
}

/** Reads file systems and images; tests pass their own. */
export interface SpaceReader {
  readonly fileSystemOf: typeof fileSystemOf;
  readonly measure: typeof measureIfPossible;
  readonly occupiedBy: typeof occupiedBy;
}

export const REAL: SpaceReader = { fileSystemOf, measure: measureIfPossible, occupiedBy };

export interface Run {
  readonly ctx: Context;
  readonly request: SpaceRequest;
  readonly reader: SpaceReader;
  readonly entries: readonly Entry[];
  readonly systemsByPath: SystemsByPath;
  /** The ids of the file systems on which a deletion has freed nothing. */
  readonly unyielding: Set<string>;
}

/** The file systems of all images, by path. */
export async function findSystems(
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

/** Whether the free space for this VM is known. */
export const hasKnownSystem = ({ systemsByPath }: Pick<Run, 'systemsByPath'>, entry: Entry): boolean =>
  activePaths(entry).some((path) => systemsByPath.has(path));

/** The error for a VM on file systems whose free space cannot be read. */
export const unknownSpace = ({ vm: { domain } }: Entry): KvmsnapError =>
  new KvmsnapError(
    'check',
    `cannot determine the free space for the images of ${inText(domain.name)}; none of its snapshots were deleted`,
    { hint: 'the images are not on a file system of this host, or this user cannot access them' },
  );

/** The file systems that must have enough free space: those that the VMs write to. */
export function systemsOf({ entries, systemsByPath }: Run): readonly MountedFileSystem[] {
  const systems = entries.flatMap(activePaths).flatMap((path) => systemsByPath.get(path) ?? []);
  return [...new Map(systems.map((system) => [system.id, system])).values()];
}

/** The ids of the file systems with too little free space on which deletions still help. */
export const shortOf = ({ unyielding, request }: Run, systems: readonly MountedFileSystem[]): Set<string> =>
  new Set(
    systems
      .filter((system) => isShort(system, request.freeMin) && !unyielding.has(system.id))
      .map(({ id }) => id),
  );

/** The failure of a run that left too little free space; null if all file systems have enough. */
export function shortage(fileSystems: readonly SpaceChange[]): KvmsnapError | null {
  const short = fileSystems.filter(({ reached }) => !reached);
  if (short.length === 0) return null;
  const each = short.map(({ mountPoint, freeBytes, wantedBytes, sizeBytes, unyielding }) => {
    const why = unyielding ? 'deleting snapshots frees no space there' : 'no other snapshot may be deleted';
    return {
      message: `${mountPoint} has only ${humanBytes(freeBytes)} of ${humanBytes(sizeBytes)} free instead of ${humanBytes(wantedBytes)}: ${why}`,
      hint: 'snapshots that a keep rule or a hold keeps are never deleted for space. To see what they cost, use kvmsnap space VM',
      commands: [],
    };
  });
  return KvmsnapError.of('check', null, each);
}

/** Measures what deletions from this VM would free. If its images cannot be measured, nothing is expected. */
export async function measureAhead({ ctx, reader, systemsByPath }: Run, entry: Entry): Promise<void> {
  const names = leaving(entry).map(({ snapshot }) => snapshot.name);
  const space = await reader.measure(ctx, entry.vm, names);
  entry.isMeasured = true;
  entry.expected = new Map();
  if (space) expectFrom(entry, space, systemsByPath);
}
