import * as z from 'zod/mini';
import { Bytes, DomainName, Time, versioned } from './members.ts';

/** `open`, printed as soon as the disks are served. */

export const open = versioned({
  domain: DomainName,
  snapshot: z.object({ name: z.string(), createdAt: Time }),
  disks: z.array(
    z.object({
      target: z.string(),
      socket: z.string(),
      uri: z.string(),
      /** The size of the disk at the time of the snapshot. */
      diskBytes: Bytes,
    }),
  ),
  /** Lines to paste that read the disks. */
  commands: z.array(z.string()),
});
