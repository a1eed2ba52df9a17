import type { Rule } from '../../model/rule.ts';
import { commandLineDrives } from '../../vm/findings/command-line-drives.ts';
import type { RevertFacts } from './facts.ts';

export const UNMANAGED_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'command-line-drives',
    hazards: [47],
    severity: 'warning',
    find: ({ domain }) =>
      commandLineDrives(domain, 'a revert leaves it as it is: it may not match the other disks then'),
  },
];
