import type { Domain } from '../model/domain.ts';

/** How findings speak of the checkpoints of incremental backups. */

/** The VM and its checkpoints, the first three by name. */
export const namedCheckpoints = ({ checkpoints }: Domain): string =>
  `the VM has ${checkpoints.length} checkpoint(s) of incremental backup (${checkpoints.slice(0, 3).join(', ')}${checkpoints.length > 3 ? ', ...' : ''})`;

/** What follows when they are lost. */
export const NEXT_IS_FULL = 'the next backup then has to be a full one';
