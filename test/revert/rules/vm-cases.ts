import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { domain, snapshot } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { MEMORY } from './internal-cases.ts';
import { reverting } from './reverting.ts';

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
