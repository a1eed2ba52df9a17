/** What a snapshot that is to be taken consists of: what was asked for, and what was planned from it. */

/**
 * `internal`: all inside the qcow2 images. `external`: the guest's writes go to new files from then on (overlays), and the
 * memory is saved to a file. `disk-only`: overlays, and no memory; also of a VM that is off.
 */
export type Mode = 'internal' | 'external' | 'disk-only';

/** The options that say what is made: virsh's own, and `external`, for which kvmsnap finds the files itself. */
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
  /** Whose names the overlays get that none is said for: for an XML file, libvirt's. */
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

/** What `--memspec` says; `location` as libvirt's `snapshot=` attribute. */
export interface MemorySpec {
  readonly location: string | null;
  readonly file: string | null;
}

/** What one `--diskspec` says. */
export interface DiskSpec {
  /** A target, or the path of a disk's image. */
  readonly disk: string;
  readonly location: string | null;
  readonly file: string | null;
  readonly driver: string | null;
  /** `file` or `block`: what kind of storage the overlay is on. */
  readonly storage: string | null;
}

export interface PlannedDisk {
  readonly target: string;
  /** The image of now, which the overlay is laid over. */
  readonly source: string | null;
  /** What the guest writes to from then on; null: the image itself (internal), or no place for it is known. */
  readonly overlay: string | null;
  readonly driver: string | null;
  readonly storage: string | null;
}

export interface SnapshotPlan {
  readonly mode: Mode;
  readonly disks: readonly PlannedDisk[];
  /** Targets of writable disks that stay out of it. */
  readonly leftOut: readonly string[];
  /** Targets of disks whose storage takes the snapshot itself (`snapshot='manual'`): libvirt leaves the VM paused for it. */
  readonly manual: readonly string[];
  /** The file for the memory; null but in `external`, and there where no place for it is known. */
  readonly memoryFile: string | null;
  readonly spec: SnapshotSpec;
}
