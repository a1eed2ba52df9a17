import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { running } from '../../create/rules/creating.ts';
import { domain, snapshot } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { MEMORY } from './internal-cases.ts';
import { reverting } from './reverting.ts';

const withMemory = snapshot('s1', { memory: MEMORY });

/** A revert of a running VM to a snapshot whose memory is in the image. */
const loading = (changes: Partial<RevertFacts>) =>
  reverting({ domain: running(), snapshot: withMemory, daemonVersion: 11_003_000, ...changes });

export const REVERT_VM_CASES: Readonly<Record<string, RuleCases<RevertFacts>>> = {
  'reset-nvram-on-old-daemon': {
    severity: 'error',
    cases: [
      { says: 'not asked for', facts: reverting({ daemonVersion: 7_000_000 }), finds: [] },
      { says: 'new enough', facts: reverting({ resetNvram: true }), finds: [] },
      {
        says: 'too old',
        facts: reverting({ resetNvram: true, daemonVersion: 7_000_000 }),
        finds: [{ what: /before 8\.1/ }],
      },
    ],
  },
  'memory-cannot-be-loaded': {
    severity: 'error',
    cases: [
      { says: 'before 11.2', facts: loading({ daemonVersion: 11_001_000 }), finds: [] },
      { says: '11.4', facts: loading({ daemonVersion: 11_004_000 }), finds: [] },
      { says: 'a package with the fix', facts: loading({ loadsMemory: true }), finds: [] },
      {
        says: 'a VM that is off',
        facts: reverting({ snapshot: withMemory, daemonVersion: 11_003_000, loadsMemory: false }),
        finds: [],
      },
      { says: 'no memory', facts: loading({ snapshot: snapshot('s1') }), finds: [] },
      {
        says: '11.3',
        facts: loading({ loadsMemory: false }),
        finds: [
          {
            what: /libvirt 11\.3 cannot load the memory of internal snapshots.*would stop the running guest/,
            hint: /11\.4 or newer .*shut the VM down first/,
            command: 'virsh shutdown centos7-1',
          },
        ],
      },
      { says: '11.2', facts: loading({ daemonVersion: 11_002_000 }), finds: [{ what: /libvirt 11\.2/ }] },
    ],
  },
  'managed-save': {
    severity: 'overridable',
    cases: [
      { says: 'none', facts: reverting(), finds: [] },
      {
        says: 'beside a snapshot without memory',
        facts: reverting({ domain: domain({ managedSave: true }) }),
        finds: [{ what: /managed save/, command: 'virsh managedsave-remove centos7-1' }],
      },
      {
        says: 'beside a snapshot with its own memory',
        facts: reverting({
          domain: domain({ managedSave: true }),
          snapshot: snapshot('s1', { memory: MEMORY }),
        }),
        finds: [],
      },
    ],
  },
};
