import type { CreateFacts } from '../core/create-rules.ts';
import { isActive, isSaving } from '../core/domain.ts';
import type { Finding } from '../core/preflight.ts';
import { quote, virshWord } from '../core/quote.ts';
import type { SnapshotReport } from '../core/report.ts';
import { plannedFiles, type SnapshotPlan } from '../core/snapshot-plan.ts';
import type { Machine } from './machine.ts';

/** Looking at what an external snapshot has made. */

type Places = CreateFacts['places'];

/**
 * What a finished one still lacks; empty when each disk is on its overlay, over the image of before, and the memory is in
 * its file. What cannot be looked at is taken on trust. `snapshot` undefined: without metadata.
 */
export function externalFlaws(
  plan: SnapshotPlan,
  { domain, images }: Machine,
  snapshot: SnapshotReport | undefined,
  places: Places,
): string[] {
  const flaws = plan.disks.flatMap(({ target, overlay, source }) => {
    const now = domain.disks.find((disk) => disk.target === target)?.source ?? null;
    if (now !== overlay) return [`disk ${target} is on ${now ?? 'nothing'} and not on ${overlay}`];
    const listed = snapshot?.disks.find((disk) => disk.target === target);
    if (snapshot && (listed?.location !== 'external' || listed.source !== overlay))
      return [`disk ${target} is not part of it`];
    const image = images.get(target);
    if (image?.kind === 'broken') return [`disk ${target} cannot be read (${image.detail})`];
    if (image?.kind !== 'seen' || source === null || plan.wishes.reuse) return [];
    const [, below] = image.chain;
    return below?.path === source ? [] : [`disk ${target}: ${overlay} is not laid over ${source}`];
  });
  if (plan.memoryFile !== null && places.get(plan.memoryFile)?.bytes === 0)
    flaws.push(`the memory is not in ${plan.memoryFile}`);
  // another job may have begun meanwhile
  if (domain.state === 'paused' && !domain.busy && isSaving(domain)) flaws.push('the machine is left paused');
  return flaws;
}

/** The files that a failed one has left, and what to do with each. */
export function leftovers(
  plan: SnapshotPlan,
  before: Places,
  after: Places,
  { domain, images, snapshotNames }: Machine,
  name: string,
): Finding[] {
  if (snapshotNames.includes(name)) return [];
  return plannedFiles(plan).flatMap((path) => {
    const made = before.get(path)?.holds === null && (after.get(path)?.holds ?? null) !== null;
    if (!made) return [];
    const user = domain.disks.find(({ target, source }) => {
      const image = images.get(target);
      return source === path || (image?.kind === 'seen' && image.chain.some((link) => link.path === path));
    });
    if (!user) return [{ what: `${path} was made, and nothing uses it`, command: `rm ${quote(path)}` }];
    const source = plan.disks.find(({ target }) => target === user.target)?.source ?? '';
    const what = `disk ${user.target} is on ${path} now, and libvirt knows no snapshot for it`;
    return [
      isActive(domain.state)
        ? {
            what,
            command: `virsh blockcommit ${virshWord(domain)} ${user.target} --shallow --active --pivot --wait && rm ${quote(path)}`,
          }
        : {
            what,
            hint: `this writes it back into ${source}, which is then to be named in the machine's XML again`,
            command: `qemu-img commit ${quote(path)}`,
          },
    ];
  });
}
