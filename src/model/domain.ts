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
}

/** The definition of a VM (`virsh dumpxml`). */
export interface DomainDefinition {
  readonly name: string;
  readonly uuid: string;
  readonly memoryBytes: number;
  readonly disks: readonly Disk[];
  /** Null for BIOS; else the pflash firmware and the NVRAM's format (libvirt's default is raw). */
  readonly pflash: { readonly nvramFormat: string; readonly nvramPath: string | null } | null;
  /** Types of passed-through host devices (`pci`, `usb`, `mdev`, ...). */
  readonly hostDevices: readonly string[];
  /** Drivers of file systems shared with the guest (`virtiofs`, `path` for 9p, ...). */
  readonly sharedFilesystems: readonly string[];
  /** The channel of the guest agent; `connected` if a running guest has it open. */
  readonly agentChannel: 'none' | 'disconnected' | 'connected';
  /** The backends of its TPMs (`emulator`, `passthrough`, ...). */
  readonly tpms: readonly string[];
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
