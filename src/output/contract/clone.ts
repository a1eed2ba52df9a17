import * as z from 'zod/mini';
import { CopiedDisk, DomainName, Time, versioned } from './members.ts';

/** `clone`. */

export const clone = versioned({
  /** The VM of the snapshot. */
  domain: DomainName,
  snapshot: z.object({ name: z.string(), createdAt: Time }),
  /** The new VM. */
  clone: z.object({ name: z.string(), uuid: z.string(), macAddresses: z.array(z.string()) }),
  /** With the target `nvram` for the copy of the NVRAM. */
  disks: z.array(CopiedDisk),
});
