import * as z from 'zod/mini';
import { FAILURE, versioned } from './members.ts';

/** Of every command if a host is named: each host, with the members of the command's own document. */

const Host = z.looseObject({
  name: z.string(),
  /** `not reached`: the run ended before this host had answered. */
  outcome: z.enum(['done', 'failed', 'not reached']),
  /** Why it failed; the VMs may have errors of their own. */
  errors: z.array(z.object(FAILURE)),
  /** Empty for a host that has not answered; absent if the command's document has no VMs. */
  domains: z.optional(z.array(z.looseObject({ name: z.string() }))),
});

export const hosts = versioned({ hosts: z.array(Host) });
