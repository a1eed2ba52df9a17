import * as z from 'zod/mini';
import { DomainName, DomainResult, Time, versioned } from './members.ts';

/** `verify`. */

export const verify = versioned({
  domain: DomainName,
  snapshot: z.object({ name: z.string(), createdAt: Time }),
  /** `failed`: the guest has stopped, or no VM could be started. */
  outcome: z.enum(['proven', 'not proven', 'failed']),
  /** What was seen of the guest, in words. */
  seen: z.string(),
  /** From the start of the throw-away VM to the result. */
  seconds: z.int(),
  /** The file with the screen of the guest; null: none was saved. */
  screenshot: z.nullable(z.string()),
});

/** `verify --label`. */
export const verifyLabel = versioned({
  domains: z.array(
    z.extend(DomainResult, {
      /** The newest snapshot with the label; null: it was not verified. */
      verified: z.nullable(
        z.object({
          snapshot: z.string(),
          createdAt: Time,
          outcome: z.enum(['proven', 'not proven', 'failed']),
          seen: z.string(),
          seconds: z.int(),
        }),
      ),
    }),
  ),
});
