import * as z from 'zod/mini';
import { FREED, FreeMin, Leftovers, PruneDecision } from './deletions.ts';
import { DomainResult, versioned } from './members.ts';

/** `prune`. */

export const prune = versioned({
  dryRun: z.boolean(),
  domains: z.array(
    z.extend(DomainResult, { snapshots: z.array(PruneDecision), leftovers: Leftovers, ...FREED }),
  ),
  freeMin: FreeMin,
});
