import { isActive } from '../../model/domain.ts';
import { ifBefore, isFrom, SAVES_BY_JOB } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { diskInText } from '../../model/text.ts';
import { externalInstead, participants } from '../../vm/findings/disks.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/** Rules about state of the VM that no snapshot contains, or that other VMs change: firmware, TPM, shared disks. */

export const UNSAVED_STATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'uefi',
    hazards: [15],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) => {
      if (!domain.pflash) return [];
      const older = ifBefore(daemonVersion, SAVES_BY_JOB, 'cannot take an internal snapshot of such a VM');
      const hint = externalInstead(daemonVersion);
      if (older !== null)
        return [{ what: `the VM has UEFI firmware, and ${older}`, ...(hint !== null && { hint }) }];
      if (!isActive(domain.state) || ['qcow2', 'json'].includes(domain.pflash.nvramFormat)) return [];
      return [
        {
          what: `the VM has UEFI firmware with NVRAM in ${domain.pflash.nvramFormat} format, but a snapshot of the running VM needs NVRAM in qcow2 format`,
          hint: 'shut the VM down first; its NVRAM will then not be part of the snapshot',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
    },
  },
  {
    id: 'nvram-left-out',
    hazards: [15],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) =>
      domain.pflash &&
      domain.pflash.nvramFormat !== 'qcow2' &&
      isFrom(daemonVersion, SAVES_BY_JOB) &&
      !isActive(domain.state)
        ? [
            {
              what: `the UEFI NVRAM (boot entries, secure boot keys) is ${domain.pflash.nvramFormat === 'json' ? 'a <varstore> file' : 'raw'} and will NOT be part of the snapshot`,
            },
          ]
        : [],
  },
  {
    id: 'tpm-left-out',
    hazards: [],
    severity: 'warning',
    find: ({ domain }) =>
      !isActive(domain.state) && domain.tpms.includes('emulator')
        ? [
            {
              what: 'the VM has an emulated TPM. Its state (for example the keys of an encrypted disk) will NOT be part of the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'shared-disk',
    hazards: [],
    severity: 'warning',
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.shareable)
        .map(({ target, source }) => ({
          what: `${diskInText({ target, source })} is <shareable/>: the snapshot may contain only a part of what another VM is writing, and a revert changes the disk of that VM too`,
          hint: 'shut the other VMs down first',
        })),
  },
];
