import * as z from 'zod/mini';
import { CheckFinding, Fix } from './check.ts';
import { FREED, FreeMin, PruneDecision } from './deletions.ts';
import { Bytes, DomainResult, versioned } from './members.ts';

/** What every command that changes something prints with `--dry-run`; prune has its own document. */

export const dryRun = versioned({
  dryRun: z.literal(true),
  commands: z.array(z.string()),
  /**
   * For several VMs; including what a `create --label` with rules would prune afterwards, or what `check --fix` would
   * do.
   */
  domains: z.optional(
    z.array(
      z.extend(DomainResult, {
        pruned: z.optional(z.array(PruneDecision)),
        fixes: z.optional(z.array(Fix)),
        /** For `check --fix`: the findings that no step fixes. */
        findings: z.optional(z.array(CheckFinding)),
        /** For delete: all snapshots that would be deleted, and what each alone would free; null if unknown. */
        snapshots: z.optional(z.array(z.object({ name: z.string(), freesBytes: z.nullable(Bytes) }))),
        ...z.partial(z.object(FREED)).shape,
      }),
    ),
  ),
  /** Of create. */
  freeMin: z.optional(FreeMin),
});
