import type { Disk } from '../../model/domain.ts';
import type { Rule } from '../../model/rule.ts';
import {
  eachDisk,
  editCommand,
  foreignHeader,
  formatFinding,
  headerFinding,
  isAsDefined,
  whatIsBroken,
} from '../../vm/findings/disks.ts';
import { lostVolumes } from '../../vm/findings/volumes.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/**
 * Rules about the images of the disks for every kind of snapshot: whether there are any, can be read, and are of the
 * format that the VM's XML says.
 */

/**
 * Whether the format of this disk matters. An overlay works over any file that the XML calls raw, and a disk that is
 * left out is not touched.
 */
const mindsFormat = ({ mode, plan }: CreateFacts, { target, driver }: Disk): boolean =>
  mode === 'internal' ||
  ((driver ?? 'raw') !== 'raw' && plan.disks.some((planned) => planned.target === target));

export const IMAGE_FORMAT_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'no-disks',
    hazards: [],
    severity: 'error',
    unsupported: true,
    find: ({ plan, mode }) => {
      // for `external`, the rule no-target-file says where the memory can go
      if (plan.disks.length > 0 || plan.manual.length > 0 || mode === 'external') return [];
      const { leftOut, spec } = plan;
      if (leftOut.length === 0)
        return [
          {
            what: 'the VM has no disk that a snapshot could contain (CD-ROMs and read-only disks are left out)',
          },
        ];
      const memory = spec.diskOnly
        ? 'so is the memory (--disk-only)'
        : 'the VM is off, so it has no memory to save';
      return [
        {
          what: `every disk is left out (${leftOut.join(', ')}), and ${memory}: nothing is left to snapshot`,
        },
      ];
    },
  },
  {
    id: 'volume-not-found',
    hazards: [46],
    severity: 'error',
    find: ({ domain }) => lostVolumes(domain),
  },
  {
    id: 'broken-image',
    hazards: [24],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        if (image?.kind !== 'broken') return null;
        const role = image.path === source ? '' : `, in the backing chain of ${source ?? 'the image'},`;
        return {
          what: `disk ${target}: ${image.path}${role} ${whatIsBroken(image)}`,
          ...(role === ''
            ? {
                hint: "restore the file, or correct the path in the VM's XML",
                command: editCommand(facts.domain),
              }
            : {
                hint:
                  image.why === 'format-unrecorded'
                    ? `shut the VM off, and record the format of ${image.path} in the image on top of it (raw, if a guest could ever write to it as a raw disk) with qemu-img rebase -u -f qcow2 -F FORMAT -b BACKING IMAGE`
                    : 'restore the file; or shut the VM off and record the right file in the image on top of it with qemu-img rebase -u -f qcow2 -F FORMAT -b BACKING IMAGE',
              }),
        };
      }),
  },
  {
    id: 'not-qcow2',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, (disk, image) =>
        isAsDefined(disk, image) && !foreignHeader(disk, image) ? formatFinding(facts, disk, image) : null,
      ),
  },
  {
    // not `unsupported`: a mistake in the XML, or an image whose header is destroyed
    id: 'format-disagrees',
    hazards: [13],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk, image) =>
        isAsDefined(disk, image) || foreignHeader(disk, image) || !mindsFormat(facts, disk)
          ? null
          : formatFinding(facts, disk, image),
      ),
  },
  {
    id: 'foreign-header',
    hazards: [13, 51],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, (disk, image) =>
        foreignHeader(disk, image) ? formatFinding(facts, disk, image) : null,
      ),
  },
  {
    // only a warning: the overlay records that its backing file is raw
    id: 'foreign-header-beneath',
    hazards: [51],
    severity: 'warning',
    modes: ['external', 'disk-only'],
    find: (facts) =>
      eachDisk(facts, (disk, image) => {
        const header = foreignHeader(disk, image);
        return header && headerFinding(disk, header);
      }),
  },
];
