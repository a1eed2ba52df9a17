import * as z from 'zod/mini';
import { DomainName, versioned } from './members.ts';

/** `history load`. */

export const history = versioned({
  domain: DomainName,
  snapshots: z.array(
    z.object({
      name: z.string(),
      /** `registered before`: libvirt had it already. */
      outcome: z.enum(['registered', 'registered before']),
    }),
  ),
});
