import * as z from 'zod/mini';
import { DomainName, Snapshot, versioned } from './members.ts';

/** `revert --group`: in the order of the names. */
export const revertGroup = versioned({
  reverted: z.array(z.object({ domain: DomainName, snapshot: Snapshot })),
});

/** `revert`. */

export const revert = versioned({ domain: DomainName, snapshot: Snapshot, backup: z.nullable(Snapshot) });
