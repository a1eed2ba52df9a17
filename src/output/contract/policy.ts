import * as z from 'zod/mini';
import { DomainResult, versioned } from './members.ts';

/** `policy`. */

export const policy = versioned({
  domains: z.array(
    z.extend(DomainResult, {
      /** `none`: no run with a policy is meant for the VM; null: it has chosen none of them, and all are. */
      policy: z.nullable(z.string()),
    }),
  ),
});
