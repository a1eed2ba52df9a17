/** What a new snapshot will consist of: as requested (`SnapshotSpec`), and as planned from that. */

/**
 * `internal`: everything is inside the qcow2 images. `external`: from then on the guest writes to new files (overlays),
 * and the memory is saved to a file. `disk-only`: overlays without memory, also for a VM that is off.
 */
export type Mode = 'internal' | 'external' | 'disk-only';

/** The options that say what is made: virsh's own, and `external`, for which kvmsnap chooses the files. */
export interface SnapshotSpec {
  readonly external: boolean;
  readonly diskOnly: boolean;
  readonly memory: MemorySpec | null;
  readonly disks: readonly DiskSpec[];
  readonly live: boolean;
  readonly halt: boolean;
  readonly quiesce: boolean;
  readonly atomic: boolean;
  readonly reuse: boolean;
  readonly noMetadata: boolean;
  readonly validate: boolean;
  /** Who names overlays for which no name was given; for an XML file, libvirt does. */
  readonly namedBy: 'kvmsnap' | 'libvirt';
}

/** An internal snapshot of everything. */
export const INTERNAL_SPEC: SnapshotSpec = {
  external: false,
  diskOnly: false,
  memory: null,
  disks: [],
  live: false,
  halt: false,
  quiesce: false,
  atomic: false,
  reuse: false,
  noMetadata: false,
  validate: false,
  namedBy: 'kvmsnap',
};

/** The value of `--memspec`; `location` is libvirt's `snapshot=` attribute. */
export interface MemorySpec {
  readonly location: string | null;
  readonly file: string | null;
}

/** The value of one `--diskspec`. */
export interface DiskSpec {
  /** A target, or the path of a disk's image. */
  readonly disk: string;
  readonly location: string | null;
  readonly file: string | null;
  readonly driver: string | null;
  /** `file` or `block`: the kind of storage of the overlay. */
  readonly storage: string | null;
}

export interface PlannedDisk {
  readonly target: string;
  /** The present image, which becomes the backing file of the overlay. */
  readonly source: string | null;
  /** The file to which the guest writes afterwards; null: the image itself (internal), or no target file is known. */
  readonly overlay: string | null;
  readonly driver: string | null;
  readonly storage: string | null;
}

export interface SnapshotPlan {
  readonly mode: Mode;
  readonly disks: readonly PlannedDisk[];
  /** Targets of writable disks that are left out. */
  readonly leftOut: readonly string[];
  /** Targets of disks whose storage takes the snapshot (`snapshot='manual'`); libvirt leaves the VM paused for that. */
  readonly manual: readonly string[];
  /** The file for the memory; null in other modes than `external`, or if no target file is known. */
  readonly memoryFile: string | null;
  readonly spec: SnapshotSpec;
}
