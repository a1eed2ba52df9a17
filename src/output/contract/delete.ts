import * as z from 'zod/mini';
import { FREED, Leftovers } from './deletions.ts';
import { DomainResult, FAILURE, versioned } from './members.ts';

/** `delete`. */

export const deletion = versioned({
  domains: z.array(
    z.extend(DomainResult, {
      deleted: z.array(z.string()),
      leftovers: Leftovers,
      failed: z.array(z.object({ name: z.string(), ...FAILURE })),
      /** Names that only other VMs have. */
      skipped: z.array(z.string()),
      ...FREED,
    }),
  ),
});
