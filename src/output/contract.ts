import * as z from 'zod/mini';

/**
 * The JSON documents of `-o json`, one per command: the contract with scripts. camelCase; sizes in bytes; times by
 * RFC 3339 with offset; absent is null. A later version may add members; `schemaVersion` rises when one changes.
 */

const Bytes = z.int().check(z.nonnegative());
const Time = z.iso.datetime({ offset: true });

const SnapshotDisk = z.object({ target: z.string(), source: z.nullable(z.string()), location: z.string() });

export const Snapshot = z.object({
  name: z.string(),
  createdAt: Time,
  state: z.string(),
  location: z.enum(['internal', 'external']),
  parent: z.nullable(z.string()),
  children: z.array(z.string()),
  current: z.boolean(),
  /** libvirt is still writing it. */
  underWay: z.boolean(),
  /** Protected from every prune and delete. */
  held: z.boolean(),
  description: z.nullable(z.string()),
  /** Guest memory inside the images; null when they were not looked at. */
  vmStateBytes: z.nullable(Bytes),
  /** With `--space` only: what deleting it alone gives back to the host; null when not known. */
  freesBytes: z.optional(z.nullable(Bytes)),
  disks: z.array(SnapshotDisk),
});

const DomainName = z.object({ name: z.string(), uuid: z.string(), state: z.string() });

const FAILURE = {
  code: z.string(),
  /** On one line, whatever it is about. */
  message: z.string(),
  hint: z.nullable(z.string()),
  /** The first of the commands. */
  command: z.nullable(z.string()),
  /** What it is about, each with what to do: one at least. */
  findings: z.array(
    z.object({ message: z.string(), hint: z.nullable(z.string()), commands: z.array(z.string()) }),
  ),
};

const Domain = z.object({
  name: z.string(),
  /** null when there is no such VM; then `errors` says so, and the name is the word of the command line. */
  uuid: z.nullable(z.string()),
  /** null when the VM could not be read. */
  state: z.nullable(z.string()),
  current: z.nullable(z.string()),
  snapshots: z.array(Snapshot),
  /** Why the VM, or some of its snapshots, could not be read. */
  errors: z.array(z.object(FAILURE)),
  /** Snapshots that libvirt lists and that could not be read. */
  failed: z.array(z.object({ name: z.string(), ...FAILURE })),
});

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
  /** What the VM's XML says the format is; null when it names none. */
  driver: z.nullable(z.string()),
  takesPart: z.boolean(),
  /** The active image first; null when it could not be looked at, and `problem` says why. */
  chain: z.nullable(z.array(ImageLink)),
  problem: z.nullable(z.string()),
  snapshots: z.array(ImageSnapshot),
});

/** What came of one of several machines. */
const DomainResult = z.object({
  name: z.string(),
  /** null when there is no such VM; then the name is the word of the command line. */
  uuid: z.nullable(z.string()),
  /** null when the VM could not be read. */
  state: z.nullable(z.string()),
  /**
   * `planned`: a dry run found nothing against it; `skipped`: not suited, and not called by its name; `not reached`: the
   * run was ended before it was through with it.
   */
  outcome: z.enum(['done', 'planned', 'failed', 'skipped', 'not reached']),
  /** Why it failed or was skipped. */
  errors: z.array(z.object(FAILURE)),
});

const PruneDecision = z.object({
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
const FREED = {
  /** In a dry run: what all together would; they may free more than each alone. */
  freesBytes: z.nullable(Bytes),
  /** What they really did, by what the images occupy. */
  freedBytes: z.nullable(Bytes),
  /** As of `space`; or the VM runs, and its guest writes meanwhile. */
  approximate: z.boolean(),
};

/** Files that libvirt has left behind of external snapshots; removed with `--leftovers`. */
const Leftovers = z.array(z.object({ path: z.string(), bytes: Bytes, removed: z.boolean() }));

/** With `--free-min` only, else null: the file systems of the VMs' images; in a dry run by what is foreseen. */
const FreeMin = z.nullable(
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

/** Bytes of the host, but for `freesClusterBytes`: whole clusters of the image; null when not known. */
const COST = {
  /** What deleting it alone gives back. */
  freesBytes: z.nullable(Bytes),
  freesClusterBytes: z.nullable(Bytes),
  /** All that it refers to. */
  holdsBytes: z.nullable(Bytes),
  vmStateBytes: z.nullable(Bytes),
  /** Since its parent. */
  changedBytes: z.nullable(Bytes),
};

/** What a check found. */
const CheckFinding = z.object({
  level: z.enum(['error', 'warning', 'information']),
  rule: z.string(),
  /** null: the VM as a whole. */
  snapshot: z.nullable(z.string()),
  what: z.string(),
  hint: z.nullable(z.string()),
  command: z.nullable(z.string()),
  commands: z.array(z.string()),
});

/** A step of `check --fix`. */
const Fix = z.object({
  action: z.enum(['resume', 'forget', 'delete-tag', 'adopt', 'register', 'win-back', 'chmod']),
  /** The finding that it answers. */
  rule: z.string(),
  snapshot: z.nullable(z.string()),
  what: z.string(),
  why: z.string(),
  /** What is taken for granted; null: nothing. */
  assumed: z.nullable(z.string()),
  commands: z.array(z.string()),
  /** The file with what it takes away. */
  backup: z.nullable(z.string()),
  /** `not needed`: it was so no longer when its turn came. */
  outcome: z.enum(['planned', 'done', 'failed', 'not needed', 'not reached']),
  error: z.nullable(z.object(FAILURE)),
});

const versioned = <Shape extends z.core.$ZodShape>(shape: Shape) =>
  z.object({ schemaVersion: z.literal(1), ...shape });

/**
 * By command (`current` also of hold, unhold and describe); `dry-run` is what every command that changes something prints
 * with `--dry-run`, `error` goes to stderr.
 */
export const DOCUMENTS = {
  list: versioned({ domains: z.array(Domain) }),
  current: versioned({ domain: DomainName, snapshot: Snapshot }),
  create: versioned({
    domains: z.array(
      z.extend(DomainResult, {
        snapshot: z.nullable(Snapshot),
        pruned: z.array(PruneDecision),
        /** Of what was pruned. */
        leftovers: Leftovers,
        ...FREED,
      }),
    ),
    freeMin: FreeMin,
  }),
  revert: versioned({ domain: DomainName, snapshot: Snapshot, backup: z.nullable(Snapshot) }),
  delete: versioned({
    domains: z.array(
      z.extend(DomainResult, {
        deleted: z.array(z.string()),
        leftovers: Leftovers,
        failed: z.array(z.object({ name: z.string(), ...FAILURE })),
        /** Names that only others of the VMs have. */
        skipped: z.array(z.string()),
        ...FREED,
      }),
    ),
  }),
  prune: versioned({
    dryRun: z.boolean(),
    domains: z.array(
      z.extend(DomainResult, { snapshots: z.array(PruneDecision), leftovers: Leftovers, ...FREED }),
    ),
    freeMin: FreeMin,
  }),
  check: versioned({
    domains: z.array(
      z.extend(DomainResult, {
        /**
         * Whether a snapshot can be taken while it runs, and while it is off, and as it is now an external one; null: not
         * known now.
         */
        snapshots: z.object({
          running: z.nullable(z.boolean()),
          off: z.nullable(z.boolean()),
          external: z.nullable(z.boolean()),
        }),
        findings: z.array(CheckFinding),
        /** What `--fix` did; the findings are those that are left then. */
        fixes: z.array(Fix),
      }),
    ),
  }),
  space: versioned({
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
  }),
  info: versioned({
    domain: z.extend(DomainName, {
      stateReason: z.nullable(z.string()),
      current: z.nullable(z.string()),
      disks: z.array(Disk),
    }),
  }),
  'info-snapshot': versioned({
    domain: DomainName,
    snapshot: z.extend(Snapshot, {
      freesBytes: COST.freesBytes,
      freesClusterBytes: COST.freesClusterBytes,
      holdsBytes: COST.holdsBytes,
      changedBytes: COST.changedBytes,
      /** Of these figures, as of `space`. */
      approximate: z.boolean(),
      /** Why the figures are null. */
      problem: z.nullable(z.string()),
      memory: z.object({ location: z.string(), file: z.nullable(z.string()) }),
      /** `copies`: how often the image holds the snapshot; 1 is right, null when it could not be looked at. */
      disks: z.array(z.extend(SnapshotDisk, { copies: z.nullable(z.int()) })),
    }),
  }),
  'dry-run': versioned({
    dryRun: z.literal(true),
    commands: z.array(z.string()),
    /** Of several VMs; with what a `create --label` with rules would prune afterwards, or `check --fix` would do. */
    domains: z.optional(
      z.array(
        z.extend(DomainResult, {
          pruned: z.optional(z.array(PruneDecision)),
          fixes: z.optional(z.array(Fix)),
          /** Of `check --fix`: what no step answers. */
          findings: z.optional(z.array(CheckFinding)),
          /** Of delete: all that would go, and what each alone would free; null when not known. */
          snapshots: z.optional(z.array(z.object({ name: z.string(), freesBytes: z.nullable(Bytes) }))),
          ...z.partial(z.object(FREED)).shape,
        }),
      ),
    ),
    /** Of create. */
    freeMin: z.optional(FreeMin),
  }),
  error: z.object({
    error: z.object({ ...FAILURE, exitCode: z.int() }),
  }),
} as const;
