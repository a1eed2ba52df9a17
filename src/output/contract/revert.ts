import * as z from 'zod/mini';
import { DomainName, Snapshot, versioned } from './members.ts';

/** `revert --group`: in the order of the names. `notReverted`: the first of them may have been changed, as the error says. */
export const revertGroup = versioned({
  reverted: z.array(z.object({ domain: DomainName, snapshot: Snapshot })),
  notReverted: z.array(z.object({ name: z.string(), uuid: z.string() })),
});

/** `revert`. */

export const revert = versioned({ domain: DomainName, snapshot: Snapshot, backup: z.nullable(Snapshot) });
