import * as z from 'zod/mini';
import { Bytes, Time } from './members.ts';

/** What documents say of snapshots that go: by delete, by prune, and by a create that prunes. */

export const PruneDecision = z.object({
  name: z.string(),
  createdAt: Time,
  keep: z.boolean(),
  /** Why it stays; empty when it goes. */
  reasons: z.array(z.string()),
  outcome: z.enum(['kept', 'to be deleted', 'deleted', 'failed', 'not reached']),
  /** In a dry run, of what goes: what deleting it alone gives back to the host; null when not known. */
  freesBytes: z.nullable(Bytes),
});

/** What deleting gives back to the host, over all of a VM's snapshots; null when not known. */
export const FREED = {
  /** In a dry run: what all together would; they may free more than each alone. */
  freesBytes: z.nullable(Bytes),
  /** What they really did, by what the images occupy. */
  freedBytes: z.nullable(Bytes),
  /** As of `space`; or the VM runs, and its guest writes meanwhile. */
  approximate: z.boolean(),
};

/** Files that libvirt has left behind of external snapshots; removed with `--leftovers`. */
export const Leftovers = z.array(z.object({ path: z.string(), bytes: Bytes, removed: z.boolean() }));

/** With `--free-min` only, else null: the file systems of the VMs' images; in a dry run by what is foreseen. */
export const FreeMin = z.nullable(
  z.object({
    /** All of them have enough, and of every VM it could be told. */
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
