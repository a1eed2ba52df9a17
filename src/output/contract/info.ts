import * as z from 'zod/mini';
import { Bytes, DomainName, Snapshot, SnapshotDisk, Time, versioned } from './members.ts';
import { COST } from './space.ts';

/** `info`: of a VM, and of a snapshot. */

const ImageSnapshot = z.object({ id: z.string(), name: z.string(), createdAt: Time, vmStateBytes: Bytes });

const ImageLink = z.object({
  path: z.string(),
  format: z.string(),
  virtualBytes: Bytes,
  allocatedBytes: Bytes,
  flags: z.array(z.string()),
});

const Disk = z.object({
  target: z.string(),
  device: z.string(),
  source: z.nullable(z.string()),
  /** The format in the VM's XML; null if it names none. */
  driver: z.nullable(z.string()),
  takesPart: z.boolean(),
  /** The image in use first; null if it could not be inspected, and `problem` says why. */
  chain: z.nullable(z.array(ImageLink)),
  problem: z.nullable(z.string()),
  snapshots: z.array(ImageSnapshot),
});

export const info = versioned({
  domain: z.extend(DomainName, {
    stateReason: z.nullable(z.string()),
    memoryBytes: Bytes,
    managedSave: z.boolean(),
    /** As `policy` has it. */
    policy: z.nullable(z.string()),
    current: z.nullable(z.string()),
    /** The names of all that libvirt has. */
    snapshots: z.array(z.string()),
    disks: z.array(Disk),
  }),
});

export const infoSnapshot = versioned({
  domain: DomainName,
  snapshot: z.extend(Snapshot, {
    freesBytes: COST.freesBytes,
    freesClusterBytes: COST.freesClusterBytes,
    holdsBytes: COST.holdsBytes,
    changedBytes: COST.changedBytes,
    /** Whether these figures are estimates, as in `space`. */
    approximate: z.boolean(),
    /** Why the figures are null. */
    problem: z.nullable(z.string()),
    memory: z.object({ location: z.string(), file: z.nullable(z.string()) }),
    /** `copies`: how often the image holds the snapshot; 1 is right, null if it could not be inspected. */
    disks: z.array(
      z.extend(SnapshotDisk, {
        /**
         * The file that holds the state; for an external snapshot the backing file of its overlay, which is the
         * `source`.
         */
        stateFile: z.nullable(z.string()),
        copies: z.nullable(z.int()),
      }),
    ),
  }),
});
