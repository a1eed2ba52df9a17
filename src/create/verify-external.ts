import { type Domain, isActive, isSaving } from '../model/domain.ts';
import { chainPaths } from '../model/image.ts';
import { quote, virshWord } from '../model/quote.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Finding } from '../model/rule.ts';
import type { PlannedDisk, SnapshotPlan } from '../model/snapshot-spec.ts';
import { commitLine } from '../qemu/command-lines.ts';
import type { Vm } from '../vm/load.ts';
import { plannedFiles } from './plan.ts';
import type { CreateFacts } from './rules/facts.ts';

/** Looking at what an external snapshot has made. */

type TargetFiles = CreateFacts['targetFiles'];

/**
 * What a finished one still lacks; empty when each disk is on its overlay, over the image of before, and the memory is in
 * its file. What cannot be looked at is taken on trust. `snapshot` undefined: without metadata.
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
    // libvirt leaves it so for the storage to be snapshotted; else another job may have begun meanwhile
    ...(plan.manual.length === 0 && isSaving(domain) && !domain.busy ? ['the VM is left paused'] : []),
  ];
}

/** Another run may have laid one more overlay over ours since, or one over the image just before us. */
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
  if (at < 0) return [`disk ${target} is on ${now ?? 'nothing'} and not on ${overlay}`];
  if (image?.kind !== 'seen' || source === null || isReused) return [];
  return chain.includes(source, at + 1) ? [] : [`disk ${target}: ${overlay} is not laid over ${source}`];
}

/** The files that a failed one has left, and what to do with each. */
export function residueFiles(
  plan: SnapshotPlan,
  before: TargetFiles,
  after: TargetFiles,
  { domain, images, snapshotNames }: Vm,
  name: string,
): Finding[] {
  if (snapshotNames.includes(name)) return [];
  const isMade = (path: string) =>
    before.get(path)?.holds === null && (after.get(path)?.holds ?? null) !== null;
  return plannedFiles(plan)
    .filter(isMade)
    .map((path) => {
      const user = domain.disks.find(
        ({ target, source }) => source === path || chainPaths(images.get(target)).includes(path),
      );
      return user
        ? inUse(domain, user, path, plan)
        : { what: `${path} was made, and nothing uses it`, command: `rm ${quote(path)}` };
    });
}

/** An overlay that no snapshot accounts for: written back into the image beneath it, and no further. */
function inUse(
  domain: Domain,
  { target, source }: Domain['disks'][number],
  path: string,
  { disks }: SnapshotPlan,
): Finding {
  const unknown = `${path}, and libvirt knows no snapshot for it`;
  if (source !== path) return { what: `disk ${target} is laid over ${unknown}`, hint: `${path} must stay` };
  const what = `disk ${target} is now on ${unknown}`;
  if (isActive(domain.state)) {
    const commit = `virsh blockcommit ${virshWord(domain)} ${target} --shallow --active --pivot --wait`;
    return { what, command: `${commit} && rm ${quote(path)}` };
  }
  const planned = disks.find((disk) => disk.target === target);
  const base = planned?.source ?? '';
  const commit = commitLine(path, planned?.driver ?? 'qcow2');
  return {
    what,
    hint: `write it back, and then name ${base} in the VM's XML again: ${commit}`,
    command: commit,
  };
}
