import * as z from 'zod/mini';
import { Leftovers } from './deletions.ts';
import { DomainName, versioned } from './members.ts';

/** `merge`. */

export const merge = versioned({
  domain: DomainName,
  disks: z.array(
    z.object({
      target: z.string(),
      /** The file that the disk uses now. */
      base: z.string(),
      /** The overlays that were merged into it, the newest first. */
      overlays: z.array(z.string()),
    }),
  ),
  /** The overlays that nothing uses any more. */
  leftovers: Leftovers,
});
