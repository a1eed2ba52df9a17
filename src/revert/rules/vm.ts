import { ifBefore, RESETS_NVRAM } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { hasMemory } from '../../model/snapshot.ts';
import type { RevertFacts } from './facts.ts';

/** Rules about the firmware and the saved memory of the VM. */

export const VM_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'reset-nvram-on-old-daemon',
    hazards: [15],
    severity: 'error',
    find: ({ resetNvram, daemonVersion }) => {
      const older = ifBefore(daemonVersion, RESETS_NVRAM, 'cannot reset the NVRAM');
      return resetNvram && older !== null ? [{ what: older }] : [];
    },
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'overridable',
    find: ({ domain, snapshot }) =>
      domain.managedSave && !hasMemory(snapshot)
        ? [
            {
              what: 'the VM has a managed save, and its memory would not fit the disks after the revert',
              hint: 'drop the saved memory, or use --force',
              command: `virsh managedsave-remove ${virshWord(domain)}`,
            },
          ]
        : [],
  },
];
