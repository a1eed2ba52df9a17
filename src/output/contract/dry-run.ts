import * as z from 'zod/mini';
import { CheckFinding, Fix } from './check.ts';
import { FREED, FreeMin, PruneDecision } from './deletions.ts';
import { Bytes, DomainResult, versioned } from './members.ts';

/** What every command that changes something prints with `--dry-run`; prune prints its own document. */

export const dryRun = versioned({
  dryRun: z.literal(true),
  commands: z.array(z.string()),
  /** Of several VMs; with what a `create --label` with rules would prune afterwards, or `check --fix` would do. */
  domains: z.optional(
    z.array(
      z.extend(DomainResult, {
        pruned: z.optional(z.array(PruneDecision)),
        fixes: z.optional(z.array(Fix)),
        /** Of `check --fix`: what no step answers. */
        findings: z.optional(z.array(CheckFinding)),
        /** Of delete: all that would go, and what each alone would free; null when not known. */
        snapshots: z.optional(z.array(z.object({ name: z.string(), freesBytes: z.nullable(Bytes) }))),
        ...z.partial(z.object(FREED)).shape,
      }),
    ),
  ),
  /** Of create. */
  freeMin: z.optional(FreeMin),
});
