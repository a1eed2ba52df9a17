import { type Disk, type Domain, isActive } from '../../model/domain.ts';
import { chainOf, type DiskImage } from '../../model/image.ts';
import { ifBefore, LEAVES_OUT_READ_ONLY } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { diskInText } from '../../model/text.ts';
import {
  corruptImage,
  eachDisk,
  editCommand,
  participants,
  unsupportedImage,
} from '../../vm/findings/disks.ts';
import { againstUndercounted } from '../../vm/findings/undercounted.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/** Rules of an internal snapshot about the disks of the VM; `corrupt-image` applies to every kind of snapshot. */

/** The read-only disks of a VM that is off whose format is not qcow2. */
export const readOnlyForeign = (domain: Domain): readonly Disk[] =>
  isActive(domain.state)
    ? []
    : domain.disks.filter(
        (disk) => disk.device === 'disk' && disk.hasSource && disk.readonly && disk.driver !== 'qcow2',
      );

export const INTERNAL_DISK_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'external-by-default',
    hazards: [12],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.snapshot === 'external')
        .map((disk) => ({
          what: `disk ${disk.target}: the VM's XML says snapshot='external', so libvirt would make an external snapshot`,
          hint: `if you want an external snapshot, use --external; otherwise remove snapshot='external' from disk ${disk.target} in the XML`,
          command: editCommand(domain),
        })),
  },
  {
    id: 'excluded-disk',
    hazards: [26],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.snapshot === 'no' || disk.snapshot === 'manual')
        .map((disk) => ({
          what: `disk ${disk.target}: the VM's XML says snapshot='${disk.snapshot}', but an internal snapshot needs every writable disk`,
          hint: `remove snapshot='${disk.snapshot}' from disk ${disk.target} in the XML, or make the disk <readonly/>${disk.snapshot === 'manual' ? '; an external snapshot (--external, --disk-only) leaves it to its storage' : ''}`,
          command: editCommand(domain),
        })),
  },
  {
    id: 'corrupt-image',
    hazards: [],
    severity: 'error',
    find: (facts) => eachDisk(facts, corruptImage),
  },
  againstUndercounted(
    ({ domain, images }) => participants(domain).map(({ target }) => ({ target, image: images.get(target) })),
    INTERNAL,
  ),
  {
    id: 'image-cannot-snapshot',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: (facts) => eachDisk(facts, (disk, image) => unsupportedImage(facts, disk, image)),
  },
  {
    id: 'encrypted-image',
    hazards: [3],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: (facts) => eachDisk(facts, (disk, image) => encryptedFinding(facts, disk, image)),
  },
  {
    id: 'network-disk',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain }) =>
      isActive(domain.state)
        ? []
        : participants(domain)
            .filter((disk) => disk.storage === 'network')
            .map((disk) => ({
              what: `disk ${disk.target} is on the network, and libvirt takes internal snapshots of such disks only while the VM runs`,
              hint: 'start the VM first',
              command: `virsh start ${virshWord(domain)}`,
            })),
  },
  {
    id: 'read-only-disk-refused',
    hazards: [26],
    severity: 'overridable',
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) => {
      const does = 'may refuse a snapshot while the VM is off, although the disk is read-only';
      const older = ifBefore(daemonVersion, LEAVES_OUT_READ_ONLY, does);
      return older === null
        ? []
        : readOnlyForeign(domain).map((disk) => ({
            what: `disk ${disk.target} is ${disk.driver ?? 'raw'}, and ${older}`,
            hint: 'start the VM first, or use --force to try',
            command: `virsh start ${virshWord(domain)}`,
          }));
    },
  },
];

/**
 * While the VM is off, libvirt does not pass the key to qemu-img. While it runs, QEMU (7.2) aborts with a failed
 * assertion when it saves the memory into the image of the first disk and that image is encrypted.
 */
function encryptedFinding(
  { domain, images }: CreateFacts,
  disk: Disk,
  image: DiskImage | undefined,
): Finding | null {
  const isEncrypted = (seen: DiskImage | undefined) => chainOf(seen)[0]?.encrypted;
  if (!isEncrypted(image)) return null;
  const what = `${diskInText(disk)}: the image is encrypted, and`;
  const [first] = participants(domain);
  if (isActive(domain.state)) {
    if (disk !== first) return null;
    return {
      what: `${what} QEMU crashes when it saves the memory into an encrypted first disk: the VM would stop, and its memory would be lost`,
      hint: 'add a small unencrypted qcow2 image as the first disk, or encrypt inside the guest',
    };
  }
  return {
    what: `${what} libvirt does not pass the key to qemu-img while the VM is off`,
    ...(isEncrypted(images.get(first?.target ?? ''))
      ? { hint: 'copy the image instead, or encrypt inside the guest' }
      : { hint: 'start the VM first', command: `virsh start ${virshWord(domain)}` }),
  };
}
