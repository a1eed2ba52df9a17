import { isActive } from '../../model/domain.ts';
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
import { virshWord } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import type { SnapshotPlan } from '../../model/snapshot-spec.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL } from './modes.ts';

/**
 * External snapshots that do not keep all disks: of the memory alone (formatsnapshot: "memory state"), and with disks
 * that are left to their storage (`snapshot='manual'`: LVM, ZFS, hardware). Tested with libvirt 9.0, 11.3 and 12.8.
 */

const isMemoryAlone = ({ disks, manual, memoryFile }: SnapshotPlan): boolean =>
  memoryFile !== null && disks.length === 0 && manual.length === 0;

/** Whether the snapshot leaves disks out in a way that older versions of libvirt cannot delete. */
export const isPartial = (plan: SnapshotPlan): boolean => isMemoryAlone(plan) || plan.manual.length > 0;

/** What an older libvirtd does with such a snapshot, for `ifBefore`. */
export const PARTIAL_STAY =
  'deletes no external ones that leave disks to their storage or keep the memory alone';

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
              what: 'the memory alone is saved, and no disk: a revert puts it back over what the disks hold by then, and if the guest has written to them since, its file systems may be damaged',
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
              what: `disk ${plan.manual.join(', ')} is to be left to its storage (snapshot='manual'), which this libvirtd (before 9.0) does not know`,
              hint: `leave it out instead (${leavingOut(plan)}), and take the storage's snapshot while the VM is paused with virsh suspend`,
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
              what: `no disk is left for libvirt: ${plan.manual.join(', ')} is to be left to its storage (snapshot='manual'), and libvirtd before 11.9 takes no snapshot of such disks alone`,
              hint: isActive(domain.state)
                ? 'with the memory it does, as --memspec /PATH/TO/FILE says; or pause the VM with virsh suspend, and take the snapshot of the storage'
                : 'take the snapshot of the storage alone: the VM is off',
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
      const what = `disk ${plan.manual.join(', ')} is left to its storage (snapshot='manual')`;
      if (domain.state !== 'running' || plan.spec.halt) {
        const before = isActive(domain.state) && !plan.spec.halt ? 'resumed' : 'started';
        return [{ what: `${what}: take the snapshot of the storage before the VM is ${before}` }];
      }
      return [
        {
          what: `${what}: the VM will be left paused. Take the snapshot of the storage then, and let the VM go on with virsh resume ${virshWord(domain)}`,
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
          what: `disk ${target} (${source ?? 'without a path'}) is no file, and libvirt will not revert the VM to this snapshot, though it leaves that disk out`,
        }));
    },
  },
];

const leavingOut = ({ manual }: SnapshotPlan): string =>
  manual.map((target) => `--diskspec ${target},snapshot=no`).join(' ');
