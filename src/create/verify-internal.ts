import { tagsNamed } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Vm } from '../vm/load.ts';

/** Verifies that an internal snapshot is complete. */

/**
 * What an internal snapshot still lacks; empty if it is complete. `snapshot` undefined: it has no metadata, so only the
 * tags are compared.
 */
export function internalFlaws(vm: Vm, name: string, snapshot: SnapshotReport | undefined): string[] {
  if (snapshot) return incompleteness(vm, snapshot);
  return [...vm.images].flatMap(([target, image]) => {
    const count = tagsNamed(image, name).length;
    return image.kind === 'unseen' || count === 1 ? [] : [countFlaw(target, count)];
  });
}

const countFlaw = (target: string, count: number): string =>
  count === 0 ? `disk ${target} does not contain it` : `disk ${target} contains it ${count} times`;

/**
 * What a snapshot lacks; empty if it is complete. Disks that cannot be read from here count as complete.
 */
function incompleteness({ images }: Vm, snapshot: SnapshotReport): string[] {
  const flaws = snapshot.disks.flatMap(({ target, location }) => {
    const image = images.get(target);
    if (location !== 'internal') return [`disk ${target} is ${location} and not internal`];
    if (image?.kind === 'unseen') return [];
    if (image?.kind === 'broken') return [`disk ${target} cannot be read (${image.detail})`];
    const count = tagsNamed(image, snapshot.name).length;
    return count === 1 ? [] : [countFlaw(target, count)];
  });
  const covered = new Set(snapshot.disks.map((disk) => disk.target));
  for (const target of images.keys())
    if (!covered.has(target)) flaws.push(`disk ${target} is not part of it`);
  if (snapshot.memory.location === 'internal' && snapshot.vmStateBytes === 0)
    flaws.push('no disk contains its memory');
  return flaws;
}
