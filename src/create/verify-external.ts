import { isSaving } from '../model/domain.ts';
import { chainPaths } from '../model/image.ts';
import type { PlannedDisk, SnapshotPlan } from '../model/input/snapshot-spec.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Vm } from '../vm/load.ts';
import type { CreateFacts } from './rules/facts.ts';

/** Verifies that an external snapshot is complete. */

export type TargetFiles = CreateFacts['targetFiles'];

/**
 * What an external snapshot lacks; empty if each disk uses its overlay on top of the earlier image, and the memory is in
 * its file. What cannot be read from here counts as complete. `snapshot` undefined: it has no metadata.
 */
export function externalFlaws(
  plan: SnapshotPlan,
  vm: Vm,
  snapshot: SnapshotReport | undefined,
  targetFiles: TargetFiles,
): string[] {
  const { domain } = vm;
  const isListed = ({ target, overlay }: PlannedDisk) =>
    !snapshot ||
    snapshot.disks.some(
      (disk) => disk.target === target && disk.location === 'external' && disk.source === overlay,
    );
  const isLeft = (target: string) =>
    !snapshot || snapshot.disks.some((disk) => disk.target === target && disk.location === 'manual');
  return [
    ...plan.manual
      .filter((target) => !isLeft(target))
      .map((target) => `disk ${target} is not left to its storage`),
    ...plan.disks.flatMap((disk) =>
      isListed(disk) ? overlayFlaws(vm, disk, plan.spec.reuse) : [`disk ${disk.target} is not part of it`],
    ),
    ...(plan.memoryFile !== null && targetFiles.get(plan.memoryFile)?.bytes === 0
      ? [`the memory is not in ${plan.memoryFile}`]
      : []),
    // libvirt leaves the VM paused if a disk is left to its storage; if `busy`, another job has begun since
    ...(plan.manual.length === 0 && isSaving(domain) && !domain.busy ? ['the VM is still paused'] : []),
  ];
}

/** What is wrong with one disk. Another run may since have put one more overlay on top, or one below just before. */
function overlayFlaws(
  { domain, images }: Vm,
  { target, overlay, source }: PlannedDisk,
  isReused: boolean,
): string[] {
  const image = images.get(target);
  if (image?.kind === 'broken') return [`disk ${target} cannot be read (${image.detail})`];
  const now = domain.disks.find((disk) => disk.target === target)?.source ?? null;
  const chain = image?.kind === 'seen' ? chainPaths(image) : [now];
  const at = chain.indexOf(overlay);
  if (at < 0) return [`disk ${target} uses ${now ?? 'no file'} instead of ${overlay}`];
  if (image?.kind !== 'seen' || source === null || isReused) return [];
  return chain.includes(source, at + 1) ? [] : [`disk ${target}: ${overlay} is not on top of ${source}`];
}
