import { type Images, tagsNamed } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Finding } from '../model/rule.ts';
import { humanBytes } from '../output/format.ts';
import { deleteTagLine } from '../qemu/command-lines.ts';
import { freeUnusedMemoryLine } from '../qemu/unused-memory.ts';
import type { Vm } from '../vm/load.ts';

/** Looking at what an internal snapshot has made. */

/**
 * What a finished internal snapshot still lacks; empty when it is complete. `snapshot` undefined: without metadata, the
 * tags alone tell.
 */
export function internalFlaws(vm: Vm, name: string, snapshot: SnapshotReport | undefined): string[] {
  if (snapshot) return incompleteness(vm, snapshot);
  return [...vm.images].flatMap(([target, image]) => {
    const count = tagsNamed(image, name).length;
    return image.kind === 'unseen' || count === 1 ? [] : [`disk ${target} holds it ${count} times`];
  });
}

/** What a finished snapshot still lacks; empty when it is complete. Disks that cannot be looked at are taken on trust. */
function incompleteness({ images }: Vm, snapshot: SnapshotReport): string[] {
  const flaws = snapshot.disks.flatMap(({ target, location }) => {
    const image = images.get(target);
    if (location !== 'internal') return [`disk ${target} is ${location}`];
    if (image?.kind === 'unseen') return [];
    if (image?.kind === 'broken') return [`disk ${target} cannot be read (${image.detail})`];
    const count = tagsNamed(image, snapshot.name).length;
    return count === 1 ? [] : [`disk ${target} holds it ${count} times`];
  });
  const covered = new Set(snapshot.disks.map((disk) => disk.target));
  for (const target of images.keys())
    if (!covered.has(target)) flaws.push(`disk ${target} is not part of it`);
  if (snapshot.memory.location === 'internal' && snapshot.vmStateBytes === 0)
    flaws.push('its memory is in no disk');
  return flaws;
}

/** Tags that stayed without metadata (hazards 4, 9, 22). */
export function orphans(after: Vm, name: string): Finding[] {
  if (after.snapshotNames.includes(name)) return [];
  return [...after.images].flatMap(([target, image]) => {
    if (image.kind !== 'seen' || tagsNamed(image, name).length === 0) return [];
    const command = deleteTagLine(name, image.chain[0].path);
    const what = `disk ${target} was left with a snapshot '${name}' that libvirt does not know`;
    return [{ what, command, hint: `with the VM off: ${command}` }];
  });
}

/** Less than this is ordinary growth of the guest's own data. */
const NOTABLE_BYTES = 16 * 1024 * 1024;

/** The memory is written behind the disk's own data, from the next L2 table on (QEMU, qcow2_vm_state_offset). */
function vmStateStart(virtualBytes: number, clusterBytes: number): number {
  const covered = (clusterBytes / 8) * clusterBytes;
  return Math.ceil(virtualBytes / covered) * covered;
}

/**
 * A save that ran out of space leaves its clusters in the image (hazard 7); those of an orphaned tag go with it. Grown
 * over them, the disk can be shrunk again without them.
 */
export function wastedSpace(after: Vm, before: Images, name: string): Finding[] {
  return [...after.images].flatMap(([target, image]) => {
    const earlier = before.get(target);
    if (image.kind !== 'seen' || earlier?.kind !== 'seen' || tagsNamed(image, name).length > 0) return [];
    const bytes = image.chain[0].allocatedBytes - earlier.chain[0].allocatedBytes;
    if (bytes < NOTABLE_BYTES) return [];
    const { virtualBytes, allocatedBytes, clusterBytes } = image.chain[0];
    // what is left lies there together, whatever else the image holds; QEMU may still have to write which of it
    const endBytes = vmStateStart(virtualBytes, clusterBytes ?? 65_536) + allocatedBytes;
    const command = freeUnusedMemoryLine(image.chain[0], { bytes, endBytes });
    const what = `disk ${target}: the image has grown by ${humanBytes(bytes)}, and the failed save does not give them back`;
    return [{ what, command, hint: `with the VM off, and a little space freed elsewhere: ${command}` }];
  });
}
