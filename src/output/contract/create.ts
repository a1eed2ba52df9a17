import * as z from 'zod/mini';
import { FREED, FreeMin, Leftovers, PruneDecision } from './deletions.ts';
import { DomainResult, Snapshot, versioned } from './members.ts';

/** `create` and `create-as`. */

export const create = versioned({
  domains: z.array(
    z.extend(DomainResult, {
      snapshot: z.nullable(Snapshot),
      pruned: z.array(PruneDecision),
      /** The deletions of the prune. */
      leftovers: Leftovers,
      ...FREED,
    }),
  ),
  freeMin: FreeMin,
});
