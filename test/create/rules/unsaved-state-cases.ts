import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, domain } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { creating, NEW_DAEMON, running } from './creating.ts';

export const UNSAVED_STATE_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  uefi: {
    severity: 'error',
    cases: [
      { says: 'BIOS', facts: creating({ domain: running(), daemonVersion: NEW_DAEMON }), finds: [] },
      {
        says: 'an older libvirtd, off',
        facts: creating({ domain: domain({ pflash: { nvramFormat: 'qcow2', nvramPath: null } }) }),
        finds: [{ what: /UEFI.*before 10\.9/ }],
      },
      {
        says: 'running with raw NVRAM',
        facts: creating({
          domain: running({ pflash: { nvramFormat: 'raw', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [
          { what: /NVRAM in raw format/, hint: /shut the VM down/, command: 'virsh shutdown centos7-1' },
        ],
      },
      {
        says: 'running with qcow2 NVRAM',
        facts: creating({
          domain: running({ pflash: { nvramFormat: 'qcow2', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
      {
        says: 'running with a varstore, which is part of the memory',
        facts: creating({
          domain: running({ pflash: { nvramFormat: 'json', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
      {
        says: 'off with raw NVRAM',
        facts: creating({
          domain: domain({ pflash: { nvramFormat: 'raw', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
    ],
  },
  'nvram-left-out': {
    severity: 'warning',
    cases: [
      { says: 'BIOS', facts: creating({ daemonVersion: NEW_DAEMON }), finds: [] },
      {
        says: 'off with raw NVRAM',
        facts: creating({
          domain: domain({ pflash: { nvramFormat: 'raw', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [{ what: /NVRAM .* will NOT be part/ }],
      },
      {
        says: 'off with qcow2 NVRAM',
        facts: creating({
          domain: domain({ pflash: { nvramFormat: 'qcow2', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
    ],
  },
  'tpm-left-out': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      { says: 'one of the host', facts: creating({ domain: domain({ tpms: ['passthrough'] }) }), finds: [] },
      {
        says: 'an emulated one, whose state QEMU saves with the memory',
        facts: creating({ domain: domain({ tpms: ['emulator'], state: 'running' }) }),
        finds: [],
      },
      {
        says: 'an emulated one',
        facts: creating({ domain: domain({ tpms: ['emulator'] }) }),
        finds: [{ what: /TPM.*NOT/ }],
      },
    ],
  },
  'shared-disk': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'read-only',
        facts: creating({ domain: domain({ disks: [disk({ shareable: true, readonly: true })] }) }),
        finds: [],
      },
      {
        says: 'shared',
        facts: creating({ domain: domain({ disks: [disk({ shareable: true })] }) }),
        finds: [{ what: /disk vda .*<shareable/, hint: /other VMs/ }],
      },
    ],
  },
};
