import { isActive } from '../../model/domain.ts';
import { ifBefore, RESETS_NVRAM } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { hasMemory } from '../../model/snapshot.ts';
import { failureToLoad } from '../../vm/memory-load.ts';
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
    id: 'memory-cannot-be-loaded',
    hazards: [3],
    severity: 'error',
    find: ({ domain, snapshot, daemonVersion, loadsMemory }) => {
      // of a VM that is off, a revert that fails loses nothing
      if (!isActive(domain.state) || snapshot.memory.location !== 'internal') return [];
      const failure = failureToLoad(daemonVersion, loadsMemory);
      if (failure === null) return [];
      return [
        {
          what: `${failure}: it would stop the running guest, and then fail`,
          hint: 'update libvirt to 11.4 or newer (Debian: 11.3.0-2 or newer). Or shut the VM down first: a revert that fails then loses nothing',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
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
              what: 'the VM has a managed save, and its memory would not match the disks after the revert',
              hint: 'discard the saved memory, or use --force',
              command: `virsh managedsave-remove ${virshWord(domain)}`,
            },
          ]
        : [],
  },
];
