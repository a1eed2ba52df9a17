import * as z from 'zod/mini';
import { Bytes, Time } from './members.ts';

/** What documents say about deleted snapshots: of delete, of prune, and of a create that prunes. */

export const PruneDecision = z.object({
  name: z.string(),
  createdAt: Time,
  keep: z.boolean(),
  /** Why it is kept; empty if it is deleted. */
  reasons: z.array(z.string()),
  outcome: z.enum(['kept', 'to be deleted', 'deleted', 'failed', 'not reached']),
  /** In a dry run, for a snapshot to delete: what deleting only this one gives back to the host; null if unknown. */
  freesBytes: z.nullable(Bytes),
});

/** What the deletions give back to the host, for all of a VM's snapshots; null if unknown. */
export const FREED = {
  /** In a dry run: what all together would free, which may be more than the sum of each alone. */
  freesBytes: z.nullable(Bytes),
  /** What they really freed, measured by the space that the images occupy. */
  freedBytes: z.nullable(Bytes),
  /** As in `space`; or the VM runs and its guest writes meanwhile. */
  approximate: z.boolean(),
};

/** Files that libvirt has left behind after deletions of external snapshots; `--leftovers` removes them. */
export const Leftovers = z.array(z.object({ path: z.string(), bytes: Bytes, removed: z.boolean() }));

/** With `--free-min` only, otherwise null: the file systems of the VMs' images; predicted in a dry run. */
export const FreeMin = z.nullable(
  z.object({
    /** Whether all of them have enough free space, and this is known for every VM. */
    reached: z.boolean(),
    fileSystems: z.array(
      z.object({
        mountPoint: z.string(),
        sizeBytes: Bytes,
        wantedBytes: Bytes,
        freeBytesBefore: Bytes,
        freeBytes: Bytes,
        reached: z.boolean(),
      }),
    ),
  }),
);
