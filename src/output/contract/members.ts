import * as z from 'zod/mini';

/** Parts that several documents have. */

export const Bytes = z.int().check(z.nonnegative());
export const Time = z.iso.datetime({ offset: true });

export const SnapshotDisk = z.object({
  target: z.string(),
  source: z.nullable(z.string()),
  location: z.string(),
});

export const Snapshot = z.object({
  name: z.string(),
  createdAt: Time,
  state: z.string(),
  location: z.enum(['internal', 'external']),
  /** `disk-only`: of a VM that ran, without its memory. */
  kind: z.enum(['internal', 'external', 'disk-only']),
  parent: z.nullable(z.string()),
  children: z.array(z.string()),
  current: z.boolean(),
  /** libvirt is still writing it. */
  underWay: z.boolean(),
  /** Whether it is protected from prune and delete. */
  held: z.boolean(),
  /** The result of the last `kvmsnap verify`; null: there was none. */
  verified: z.nullable(
    z.object({ at: Time, outcome: z.enum(['proven', 'not proven', 'failed']), seen: z.string() }),
  ),
  /** The runs of kvmsnap that read it now; as long as they do, neither prune nor delete removes it. */
  readers: z.array(z.object({ command: z.string(), processId: z.int(), since: Time })),
  /** The VMs of which `--together` has taken it at one moment; empty: that run did not finish; null: it was taken alone. */
  together: z.nullable(z.array(z.string())),
  description: z.nullable(z.string()),
  /** Guest memory inside the images; null if they were not inspected. */
  vmStateBytes: z.nullable(Bytes),
  /** Guest memory inside the images or in a memory file; null if that was not inspected. */
  memoryBytes: z.nullable(Bytes),
  /** With `--space` only: what deleting only this snapshot gives back to the host; null if unknown. */
  freesBytes: z.optional(z.nullable(Bytes)),
  disks: z.array(SnapshotDisk),
});

/** A disk of a snapshot that was copied into a file. */
export const CopiedDisk = z.object({
  target: z.string(),
  path: z.string(),
  format: z.enum(['qcow2', 'raw']),
  /** The image that contains the snapshot. */
  source: z.string(),
  /** The size of the disk at the time of the snapshot. */
  diskBytes: Bytes,
  /** What the new file occupies on its file system. */
  occupiedBytes: Bytes,
});

export const DomainName = z.object({ name: z.string(), uuid: z.string(), state: z.string() });

export const FAILURE = {
  code: z.string(),
  /** The whole message on one line. */
  message: z.string(),
  hint: z.nullable(z.string()),
  /** The first of the commands. */
  command: z.nullable(z.string()),
  /** The findings, each with what to do; at least one. */
  findings: z.array(
    z.object({ message: z.string(), hint: z.nullable(z.string()), commands: z.array(z.string()) }),
  ),
};

/** The result for one of several VMs. */
export const DomainResult = z.object({
  name: z.string(),
  /** null if there is no such VM; then the name is the word from the command line. */
  uuid: z.nullable(z.string()),
  /** null if the VM could not be read. */
  state: z.nullable(z.string()),
  /**
   * `planned`: a dry run found no obstacle; `skipped`: unsupported, and not named explicitly; `not reached`: the run
   * ended before it had finished this VM.
   */
  outcome: z.enum(['done', 'planned', 'failed', 'skipped', 'not reached']),
  /** Why it failed or was skipped. */
  errors: z.array(z.object(FAILURE)),
});

/** A document with its `schemaVersion`. */
export const versioned = <Shape extends z.core.$ZodShape>(shape: Shape) =>
  z.object({ schemaVersion: z.literal(1), ...shape });
