import type { Domain } from '../../model/domain.ts';

/** Parts of findings about the checkpoints of incremental backups. */

/** The VM and its checkpoints, the first three by name. */
export const namedCheckpoints = ({ checkpoints }: Domain): string =>
  `the VM has ${checkpoints.length} ${checkpoints.length === 1 ? 'checkpoint' : 'checkpoints'} of incremental backups (${checkpoints.slice(0, 3).join(', ')}${checkpoints.length > 3 ? ', ...' : ''})`;

/** What follows if the checkpoints are lost. */
export const NEXT_IS_FULL = 'the next backup then has to be a full one';
