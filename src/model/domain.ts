/** A VM as libvirt defines it, reduced to what matters for snapshots. Independent of virsh and files. */

/** A volume of a storage pool. */
export interface Volume {
  /** The name of the pool. */
  readonly name: string;
  readonly volume: string;
  /** Why libvirt cannot find it now; absent if it can. */
  readonly problem?: 'inactive' | 'no-pool' | 'no-volume';
}

/** One `<disk>` of a VM. */
export interface Disk {
  /** The disk target, such as `vda`. */
  readonly target: string;
  readonly device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  /** libvirt's `<disk type>`: the kind of storage. */
  readonly storage: string;
  /** Absolute path of a file, block device or volume; null if there is no medium, or no path on this host. */
  readonly source: string | null;
  /** The image of a network disk, such as `nbd://host:10809/name`; equal for two disks with the same image. */
  readonly address?: string;
  /** The backing files that the VM's XML names, the nearest first; none before the first start. */
  readonly backing: readonly string[];
  /** By path, the formats that the VM's XML names for the backing files. */
  readonly backingFormats: ReadonlyMap<string, string>;
  /** True if a medium of any kind is attached, also one without a path (network). */
  readonly hasSource: boolean;
  readonly pool: Volume | null;
  /** `<driver type>`: the format for libvirt; null if the XML names none (then libvirt assumes raw). */
  readonly driver: string | null;
  /** True if libvirt opens it with a key (`<encryption>`); then raw in the XML means LUKS. */
  readonly encrypted: boolean;
  readonly readonly: boolean;
  readonly transient: boolean;
  /** True if other VMs may use it too (`<shareable/>`). */
  readonly shareable: boolean;
  /** The disk's own `snapshot=` attribute in the VM's XML. */
  readonly snapshot: string | null;
  /** True if a block copy or active commit is under way (`<mirror>`). */
  readonly mirrored: boolean;
  /** That job; absent: none. */
  readonly mirror?: Mirror;
}

/** A job that writes the same to a second file (`<mirror>`). */
export interface Mirror {
  /** `copy` or `active-commit`, which merges the overlay into the file. */
  readonly job: string;
  /** The second file; null if it has no path on this host. */
  readonly path: string | null;
  /** Whether both files are equal, so that only the last step is missing. */
  readonly ready: boolean;
}

/**
 * A guest that `create --together` has paused or frozen. It is written into the running VM itself, so that whoever runs kvmsnap next,
 * from wherever, can tell this pause from one of the administrator.
 */
export interface PauseRecord {
  readonly how: 'paused' | 'frozen';
  /** The snapshot for which it was done. */
  readonly snapshot: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** The process of kvmsnap, in the words of host/process/own-process.ts; empty if unknown. */
  readonly owner: string;
  /** Nanoseconds for which its virtual CPUs had run; null if libvirt did not tell. */
  readonly ran: number | null;
  /** Whether that was read after the pause, and not just before it. */
  readonly exact: boolean;
}

/** The definition of a VM (`virsh dumpxml`). */
export interface DomainDefinition {
  readonly name: string;
  readonly uuid: string;
  /** The number that libvirt has given to its present QEMU; absent: it is off. */
  readonly id?: string;
  readonly memoryBytes: number;
  readonly disks: readonly Disk[];
  /**
   * Null for BIOS; else the UEFI firmware and the NVRAM's format (libvirt's default is raw). `json`: no pflash, but a `<varstore>`, which
   * QEMU reads at its start and writes as a whole, also when it loads memory, and which is part of saved memory.
   */
  readonly pflash: { readonly nvramFormat: string; readonly nvramPath: string | null } | null;
  /** Types of passed-through host devices (`pci`, `usb`, `mdev`, ...). */
  readonly hostDevices: readonly string[];
  /** Drivers of file systems shared with the guest (`virtiofs`, `path` for 9p, ...). */
  readonly sharedFilesystems: readonly string[];
  /** The channel of the guest agent; `connected` if a running guest has it open. */
  readonly agentChannel: 'none' | 'disconnected' | 'connected';
  /** The backends of its TPMs (`emulator`, `passthrough`, ...). */
  readonly tpms: readonly string[];
  /** The policy that the VM has chosen (`kvmsnap policy`); null: none. */
  readonly policy: string | null;
  /** What kvmsnap has written down before it paused or froze the running guest; absent: it has not, or QEMU was started anew since. */
  readonly pauseRecord?: PauseRecord;
  /** Drives that the XML passes directly to QEMU in `<qemu:commandline>`, in QEMU's syntax. */
  readonly commandLineDrives: readonly string[];
}

/** Formats that libvirt and QEMU call by different names (qemuBlockStorageSourceGetBlockdevFormatProps). */
const QEMU_FORMATS: Readonly<Record<string, string>> = {
  none: 'raw',
  iso: 'raw',
  ploop: 'parallels',
  vhd: 'vpc',
};

/** The format that QEMU uses for a disk with that `<driver type>`; raw if the XML names none. */
export const formatOfDriver = (driver: string | null): string =>
  driver === null ? 'raw' : (QEMU_FORMATS[driver] ?? driver);

/** The format that QEMU uses for a disk. */
export const formatOf = ({ driver, encrypted }: Pick<Disk, 'driver'> & Partial<Disk>): string => {
  const format = formatOfDriver(driver);
  return encrypted && format === 'raw' ? 'luks' : format;
};

/** A state in the words of `virsh list --state-...`; unknown states are passed through. */
export type DomainState =
  | 'running'
  | 'paused'
  | 'shutoff'
  | 'shutdown'
  | 'crashed'
  | 'pmsuspended'
  | 'idle'
  | (string & {});

/** The present state of a VM, as libvirtd reports it. */
export interface Domain extends DomainDefinition {
  readonly state: DomainState;
  /** libvirt's reason, such as `booted`, `saving`, `from snapshot`. */
  readonly stateReason: string;
  /** Whether a libvirt job (a snapshot, save, migration, backup, ...) holds the running VM at this moment. */
  readonly busy: boolean;
  readonly managedSave: boolean;
  /** Whether the VM is transient: without a persistent definition, libvirt forgets it and its snapshots when it stops. */
  readonly transient: boolean;
  /** Names of libvirt checkpoints (incremental backup), which cannot be combined with snapshots. */
  readonly checkpoints: readonly string[];
}

/** True if a QEMU process exists, so that the images are open and a snapshot includes memory. */
export function isActive(state: DomainState): boolean {
  return state !== 'shutoff' && state !== 'crashed';
}

/** The reasons for `paused` with which libvirt itself is writing the memory of a snapshot or save. */
const SAVING_REASONS: ReadonlySet<string> = new Set(['saving', 'creating snapshot']);

/** True while libvirt pauses the guest to write its memory (hazards 8, 9 and 25). */
export function isSaving(domain: { readonly state: DomainState; readonly stateReason: string }): boolean {
  return domain.state === 'paused' && SAVING_REASONS.has(domain.stateReason);
}

/**
 * True if a snapshot of this VM would include the disk: not for CD-ROMs, drives without a medium and read-only disks;
 * but for a floppy with a writable medium (which libvirt then refuses, hazard 26).
 */
export function takesPart(disk: Disk): boolean {
  return disk.hasSource && !disk.readonly && disk.device !== 'cdrom';
}
