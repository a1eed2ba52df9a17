import * as z from 'zod/mini';
import { CopiedDisk, DomainName, Time, versioned } from './members.ts';

/** `export`. */

export const exported = versioned({
  domain: DomainName,
  snapshot: z.object({ name: z.string(), createdAt: Time }),
  directory: z.string(),
  /** The file with the definition of the VM at the time of the snapshot; null if the snapshot stores none. */
  definition: z.nullable(z.string()),
  disks: z.array(CopiedDisk),
});
