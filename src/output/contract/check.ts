import * as z from 'zod/mini';
import { DomainResult, FAILURE, versioned } from './members.ts';

/** `check`. */

/** What a check found. */
export const CheckFinding = z.object({
  level: z.enum(['error', 'warning', 'information']),
  rule: z.string(),
  /** null: the VM as a whole. */
  snapshot: z.nullable(z.string()),
  what: z.string(),
  hint: z.nullable(z.string()),
  command: z.nullable(z.string()),
  commands: z.array(z.string()),
});

/** A step of `check --fix`. */
export const Fix = z.object({
  action: z.enum(['resume', 'let-go', 'forget', 'delete-tag', 'adopt', 'register', 'win-back', 'chmod']),
  /** The rule whose finding it fixes. */
  rule: z.string(),
  snapshot: z.nullable(z.string()),
  what: z.string(),
  why: z.string(),
  /** What is assumed; null: nothing. */
  assumed: z.nullable(z.string()),
  commands: z.array(z.string()),
  /** The file in which it saves what it takes away. */
  backup: z.nullable(z.string()),
  /** `not needed`: the problem no longer existed when the step was due. */
  outcome: z.enum(['planned', 'done', 'failed', 'not needed', 'not reached']),
  error: z.nullable(z.object(FAILURE)),
});

export const check = versioned({
  domains: z.array(
    z.extend(DomainResult, {
      /**
       * Whether a snapshot can be taken while the VM runs, and while it is off, and whether an external one can be
       * taken now; null: unknown now.
       */
      snapshots: z.object({
        running: z.nullable(z.boolean()),
        off: z.nullable(z.boolean()),
        external: z.nullable(z.boolean()),
      }),
      findings: z.array(CheckFinding),
      /** What `--fix` did; the findings are those that remain afterwards. */
      fixes: z.array(Fix),
    }),
  ),
});
