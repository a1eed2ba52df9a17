import type { Rule } from '../../model/rule.ts';
import { commandLineDrives } from '../../vm/command-line-drives.ts';
import type { RevertFacts } from './facts.ts';

export const UNMANAGED_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'command-line-drives',
    hazards: [47],
    severity: 'warning',
    find: ({ domain }) =>
      commandLineDrives(domain, 'it keeps what is on it now: the disks may not fit together then'),
  },
];
