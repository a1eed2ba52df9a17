import * as z from 'zod/mini';
import { Bytes, DomainName, FAILURE, versioned } from './members.ts';

/** `space`. */

/** Bytes on the host, except `freesClusterBytes`, which are whole clusters of the image; null if unknown. */
export const COST = {
  /** What deleting only this snapshot gives back. */
  freesBytes: z.nullable(Bytes),
  freesClusterBytes: z.nullable(Bytes),
  /** Everything that it refers to. */
  holdsBytes: z.nullable(Bytes),
  vmStateBytes: z.nullable(Bytes),
  /** The difference from its parent. */
  changedBytes: z.nullable(Bytes),
};

export const space = versioned({
  domains: z.array(
    z.extend(DomainName, {
      snapshots: z.array(
        z.object({
          name: z.string(),
          ...COST,
          /**
           * The VM runs, and QEMU has not written all its metadata; or the snapshot is external, and the figures depend
           * on how QEMU merges its overlay.
           */
          approximate: z.boolean(),
          disks: z.array(
            z.object({
              target: z.string(),
              source: z.nullable(z.string()),
              ...COST,
              /** Why the figures are null. */
              problem: z.nullable(z.string()),
            }),
          ),
        }),
      ),
      together: z.object({
        names: z.array(z.string()),
        freesBytes: z.nullable(Bytes),
        freesClusterBytes: z.nullable(Bytes),
      }),
    }),
  ),
  /** Of all VMs: those, or whose snapshots, could not be read. */
  failed: z.optional(z.array(z.object({ vm: z.string(), ...FAILURE }))),
});
