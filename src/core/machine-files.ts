import type { Domain } from './domain.ts';
import type { DiskImage } from './image.ts';
import type { Snapshot } from './snapshot.ts';

/** The files that a machine and its snapshots name. */

/** Every path that the machine or one of its snapshots names, and what lies below its disks. */
export function namedFiles(
  { disks }: Pick<Domain, 'disks'>,
  snapshots: readonly Snapshot[],
  images: ReadonlyMap<string, DiskImage>,
): Set<string> {
  const named = [
    ...disks.flatMap(({ source, backing }) => [source, ...backing]),
    ...[...images.values()].flatMap((image) =>
      image.kind === 'seen' ? image.chain.map(({ path }) => path) : [],
    ),
    ...snapshots.flatMap(({ memory, disks, definedDisks }) => [
      memory.file,
      ...disks.map(({ source }) => source),
      ...definedDisks.map(({ source }) => source),
    ]),
  ];
  return new Set(named.filter((path) => path?.startsWith('/')) as string[]);
}

/** The files that a snapshot keeps its disks in: for an external one those below its overlays. */
export function stateFiles(snapshot: Pick<Snapshot, 'disks' | 'definedDisks'>): string[] {
  const stored = new Map(snapshot.definedDisks.map(({ target, source }) => [target, source]));
  return snapshot.disks.flatMap(({ target, location, source }) => {
    const path = location === 'external' ? stored.get(target) : source;
    return path ? [path] : [];
  });
}

/** The files that an external snapshot has made: its overlays and the guest's memory. */
export function mentionedFiles({ disks, memory }: Pick<Snapshot, 'disks' | 'memory'>): string[] {
  const overlays = disks.filter(({ location }) => location === 'external').map(({ source }) => source);
  return [...overlays, memory.file].filter((path) => path !== null);
}
