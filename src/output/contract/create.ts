import * as z from 'zod/mini';
import { FREED, FreeMin, Leftovers, PruneDecision } from './deletions.ts';
import { DomainResult, Snapshot, versioned } from './members.ts';

/** `create` and `create-as`. */

export const create = versioned({
  domains: z.array(
    z.extend(DomainResult, {
      snapshot: z.nullable(Snapshot),
      /** What the programs of `--before` and `--after` did, in their order. */
      hooks: z.array(
        z.object({
          hook: z.enum(['before', 'after']),
          program: z.string(),
          /** null: it was ended by a signal, or not started. */
          exitCode: z.nullable(z.int()),
          signal: z.nullable(z.string()),
          /** Why it was ended or not started; null: it has ended by itself. */
          why: z.nullable(z.string()),
          output: z.string(),
        }),
      ),
      /** With `--together`: the longest time for which its guest can have stood; null if it did not run, and without `--together`. */
      heldMilliseconds: z.nullable(z.int()),
      pruned: z.array(PruneDecision),
      /** The deletions of the prune. */
      leftovers: Leftovers,
      ...FREED,
    }),
  ),
  freeMin: FreeMin,
});
