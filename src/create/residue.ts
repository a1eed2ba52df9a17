import { type Domain, isActive } from '../model/domain.ts';
import { chainPaths, type Images, tagsNamed } from '../model/image.ts';
import type { SnapshotPlan } from '../model/input/snapshot-spec.ts';
import { quote, virshWord } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import { commitLine, deleteTagLine } from '../qemu/command-lines.ts';
import { freeUnusedMemoryLines } from '../qemu/unused-memory.ts';
import type { Vm } from '../vm/load.ts';
import { plannedFiles } from './plan.ts';
import type { TargetFiles } from './verify-external.ts';

/** What a failed create leaves behind in the images and in new files, and what to do with it. */

/** Tags that are left in the images without metadata (hazards 4, 9, 22). */
export function orphans(after: Vm, name: string): Finding[] {
  if (after.snapshotNames.includes(name)) return [];
  return [...after.images].flatMap(([target, image]) => {
    if (image.kind !== 'seen' || tagsNamed(image, name).length === 0) return [];
    const command = deleteTagLine(name, image.chain[0].path);
    const what = `disk ${target} was left with a snapshot ${inText(name)} that is not registered in libvirt`;
    return [{ what, command, hint: 'delete it while the VM is off' }];
  });
}

/** Bytes; an image may grow by less than this through the guest's own data. */
const NOTABLE_BYTES = 16 * 1024 * 1024;

/** The offset at which QEMU writes the memory: after the end of the disk, from the next L2 table on (qcow2_vm_state_offset). */
function vmStateStart(virtualBytes: number, clusterBytes: number): number {
  const covered = (clusterBytes / 8) * clusterBytes;
  return Math.ceil(virtualBytes / covered) * covered;
}

/**
 * A save that ran out of space leaves its clusters in the image (hazard 7). If a tag is left too, deleting that tag frees
 * them; otherwise growing the disk over them and shrinking it again does.
 */
export function wastedSpace(after: Vm, before: Images, name: string): Finding[] {
  return [...after.images].flatMap(([target, image]) => {
    const earlier = before.get(target);
    if (image.kind !== 'seen' || earlier?.kind !== 'seen' || tagsNamed(image, name).length > 0) return [];
    const bytes = image.chain[0].allocatedBytes - earlier.chain[0].allocatedBytes;
    if (bytes < NOTABLE_BYTES) return [];
    const { virtualBytes, allocatedBytes, clusterBytes } = image.chain[0];
    // the clusters are contiguous from that offset on; QEMU may not have written all references to them yet
    const endBytes = vmStateStart(virtualBytes, clusterBytes ?? 65_536) + allocatedBytes;
    const commands = freeUnusedMemoryLines(image.chain[0], { bytes, endBytes });
    const what = `disk ${target}: the failed save left ${humanBytes(bytes)} of unused data in the image`;
    return [
      {
        what,
        commands,
        hint: 'first free a little space on this file system; then, with the VM off, remove the unused data',
      },
    ];
  });
}

/** The files that a failed external snapshot has left behind, each with the command that fixes it. */
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
        : {
            what: `${path} was created, and nothing uses it`,
            hint: 'remove the unused file',
            command: `rm ${quote(path)}`,
          };
    });
}

/** The advice for an overlay that is in use but belongs to no snapshot: commit it into the image below it. */
function inUse(
  domain: Domain,
  { target, source }: Domain['disks'][number],
  path: string,
  { disks }: SnapshotPlan,
): Finding {
  const unknown = `${path}, which belongs to no snapshot`;
  if (source !== path)
    return { what: `disk ${target} is on top of ${unknown}`, hint: `do not remove ${path}` };
  const what = `disk ${target} now uses the overlay ${unknown}`;
  if (isActive(domain.state)) {
    const commit = `virsh blockcommit ${virshWord(domain)} ${target} --shallow --active --pivot --wait`;
    return {
      what,
      hint: 'merge the overlay into the image below it, then remove the file',
      commands: [commit, `rm ${quote(path)}`],
    };
  }
  const planned = disks.find((disk) => disk.target === target);
  const base = planned?.source ?? '';
  return {
    what,
    hint: `merge the overlay into ${base}, then set ${base} as the source of disk ${target} in the VM's XML`,
    commands: [commitLine(path, planned?.driver ?? 'qcow2'), `virsh edit ${virshWord(domain)}`],
  };
}
