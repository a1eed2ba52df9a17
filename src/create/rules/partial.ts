import { isActive } from '../../model/domain.ts';
import type { SnapshotPlan } from '../../model/input/snapshot-spec.ts';
import {
  type DaemonVersion,
  DELETES_EXTERNAL,
  DELETES_PARTIAL,
  isBefore,
  isFrom,
  KNOWS_MANUAL,
  REVERTS_EXTERNAL,
  TAKES_MANUAL_ALONE,
} from '../../model/libvirt-versions.ts';
import type { Rule } from '../../model/rule.ts';
import { diskInText, disksInText } from '../../model/text.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL } from './modes.ts';

/**
 * External snapshots that do not contain all disks: only the memory (formatsnapshot: "memory state"), or with disks that
 * are left to their storage (`snapshot='manual'`: LVM, ZFS, hardware). Tested with libvirt 9.0, 11.3 and 12.8.
 */

const isMemoryAlone = ({ disks, manual, memoryFile }: SnapshotPlan): boolean =>
  memoryFile !== null && disks.length === 0 && manual.length === 0;

/** Whether the snapshot leaves disks out in a way that older versions of libvirt cannot delete. */
export const isPartial = (plan: SnapshotPlan): boolean => isMemoryAlone(plan) || plan.manual.length > 0;

/** What an older libvirtd does with such a snapshot, for `ifBefore`. */
export const PARTIAL_STAY =
  'cannot delete external snapshots that leave a disk to its storage or contain only the memory';

/** Whether this libvirtd could not delete what is planned; false where its version is not known. */
export const isUndeletable = (plan: SnapshotPlan, daemonVersion: DaemonVersion): boolean =>
  isBefore(daemonVersion, isPartial(plan) ? DELETES_PARTIAL : DELETES_EXTERNAL);

export const PARTIAL_CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'memory-alone',
    hazards: [],
    severity: 'warning',
    modes: ['external'],
    find: ({ plan }) =>
      isMemoryAlone(plan)
        ? [
            {
              what: 'the snapshot contains only the memory, and no disk. A revert loads the memory but leaves the disks as they are then; if the guest has written to them in between, its file systems may be damaged',
            },
          ]
        : [],
  },
  {
    id: 'manual-unknown',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ plan, daemonVersion }) =>
      plan.manual.length > 0 && isBefore(daemonVersion, KNOWS_MANUAL)
        ? [
            {
              what: `the snapshot would leave ${disksInText(plan.manual)} to the storage (snapshot='manual'), which this libvirtd (before 9.0) does not support`,
              hint: `leave it out instead (${leavingOut(plan)}), and take the snapshot of the storage while the VM is paused (virsh suspend)`,
            },
          ]
        : [],
  },
  {
    id: 'manual-alone',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: ['disk-only'],
    find: ({ domain, plan, daemonVersion }) =>
      plan.manual.length > 0 &&
      plan.disks.length === 0 &&
      isFrom(daemonVersion, KNOWS_MANUAL) &&
      isBefore(daemonVersion, TAKES_MANUAL_ALONE)
        ? [
            {
              what: `the snapshot would leave ${disksInText(plan.manual)} to the storage (snapshot='manual') and contain no other disk, and libvirtd before 11.9 cannot take such a snapshot`,
              hint: isActive(domain.state)
                ? 'save the memory too, with --memspec /PATH/TO/FILE; or pause the VM (virsh suspend) and take only the snapshot of the storage'
                : 'the VM is off: take only the snapshot of the storage',
            },
          ]
        : [],
  },
  {
    id: 'manual-storage',
    hazards: [],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ domain, plan }) => {
      if (plan.manual.length === 0) return [];
      const what = `the snapshot leaves ${disksInText(plan.manual)} to the storage (snapshot='manual')`;
      if (domain.state !== 'running' || plan.spec.halt) {
        const before = isActive(domain.state) && !plan.spec.halt ? 'resumed' : 'started';
        return [{ what: `${what}: take the snapshot of the storage before the VM is ${before}` }];
      }
      return [
        {
          what: `${what}: the VM will stay paused, so that you can take the snapshot of the storage and then resume the VM`,
        },
      ];
    },
  },
  {
    id: 'no-revert-beside',
    hazards: [17],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ domain, plan, daemonVersion }) => {
      const byVirsh = plan.disks.length > 0 || plan.memoryFile !== null;
      if (plan.spec.noMetadata || !isFrom(daemonVersion, REVERTS_EXTERNAL) || !byVirsh) return [];
      const beside = new Set([...plan.leftOut, ...plan.manual]);
      return domain.disks
        .filter(({ target, storage }) => beside.has(target) && storage === 'block')
        .map(({ target, source }) => ({
          what: `${diskInText({ target, source })} is not a file, so libvirt will not revert the VM to this snapshot, although the snapshot leaves that disk out`,
        }));
    },
  },
];

const leavingOut = ({ manual }: SnapshotPlan): string =>
  manual.map((target) => `--diskspec ${target},snapshot=no`).join(' ');
