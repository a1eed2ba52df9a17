import * as z from 'zod/mini';
import { Bytes, DomainName, FAILURE, versioned } from './members.ts';

/** `space`. */

/** Bytes of the host, but for `freesClusterBytes`: whole clusters of the image; null when not known. */
export const COST = {
  /** What deleting it alone gives back. */
  freesBytes: z.nullable(Bytes),
  freesClusterBytes: z.nullable(Bytes),
  /** All that it refers to. */
  holdsBytes: z.nullable(Bytes),
  vmStateBytes: z.nullable(Bytes),
  /** Since its parent. */
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
           * The VM runs, and QEMU has not written all that it knows; or it is external, and depends on how QEMU merges
           * its overlay.
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
