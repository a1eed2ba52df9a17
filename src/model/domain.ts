/** A VM as libvirt defines it, reduced to what decides about snapshots. Knows neither virsh nor files. */

/** A volume of a storage pool. */
export interface Volume {
  /** The pool's. */
  readonly name: string;
  readonly volume: string;
  /** Why libvirt does not find it now; absent: it does. */
  readonly problem?: 'inactive' | 'no-pool' | 'no-volume';
}

/** One `<disk>` of a VM. */
export interface Disk {
  /** The disk target, such as `vda`. */
  readonly target: string;
  readonly device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  /** libvirt's `<disk type>`: where the source lives. */
  readonly storage: string;
  /** Absolute path of a file, block device or volume; null where there is no medium or it is not a path on this host. */
  readonly source: string | null;
  /** The files below it that the VM's XML names, the nearest first: none before it was started for the first time. */
  readonly backing: readonly string[];
  /** By path, the formats that the VM's XML names for those. */
  readonly backingFormats: ReadonlyMap<string, string>;
  /** True when a medium of any kind is attached, also where it has no path (network). */
  readonly hasSource: boolean;
  readonly pool: Volume | null;
  /** `<driver type>`: the format that libvirt believes; null where the XML names none (libvirt then takes raw). */
  readonly driver: string | null;
  /** libvirt opens it with a key (`<encryption>`): what the XML calls raw then is LUKS. */
  readonly encrypted: boolean;
  readonly readonly: boolean;
  readonly transient: boolean;
  /** Other VMs may have it too (`<shareable/>`). */
  readonly shareable: boolean;
  /** The disk's own `snapshot=` attribute in the VM's XML. */
  readonly snapshot: string | null;
  /** A block copy or active commit is under way (`<mirror>`). */
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
  /** The channel of the guest agent; `connected` while a running guest has it open. */
  readonly agentChannel: 'none' | 'disconnected' | 'connected';
  /** What is behind its TPMs (`emulator`, `passthrough`, ...). */
  readonly tpms: readonly string[];
  /** Drives that QEMU is given past libvirt, in `<qemu:commandline>`: as QEMU is told of them. */
  readonly commandLineDrives: readonly string[];
}

/** libvirt's words for what QEMU knows by another (qemuBlockStorageSourceGetBlockdevFormatProps). */
const QEMU_FORMATS: Readonly<Record<string, string>> = {
  none: 'raw',
  iso: 'raw',
  ploop: 'parallels',
  vhd: 'vpc',
};

/** The format by which QEMU uses a disk of that `<driver type>`: libvirt takes it for raw where the XML names none. */
export const formatOfDriver = (driver: string | null): string =>
  driver === null ? 'raw' : (QEMU_FORMATS[driver] ?? driver);

/** The format by which QEMU uses a disk. */
export const formatOf = ({ driver, encrypted }: Pick<Disk, 'driver'> & Partial<Disk>): string => {
  const format = formatOfDriver(driver);
  return encrypted && format === 'raw' ? 'luks' : format;
};

/** A run state in the words of `virsh list --state-...`; anything newer passes through. */
export type DomainState =
  | 'running'
  | 'paused'
  | 'shutoff'
  | 'shutdown'
  | 'crashed'
  | 'pmsuspended'
  | 'idle'
  | (string & {});

/** What libvirtd says of a VM now. */
export interface Domain extends DomainDefinition {
  readonly state: DomainState;
  /** libvirt's reason, such as `booted`, `saving`, `from snapshot`. */
  readonly stateReason: string;
  /** A job of libvirt (a snapshot, save, migration, backup, ...) holds the running VM at this moment. */
  readonly busy: boolean;
  readonly managedSave: boolean;
  /** libvirt forgets it, and its snapshots, when it stops: it has no definition that stays. */
  readonly transient: boolean;
  /** Names of libvirt checkpoints (incremental backup); they and snapshots exclude each other. */
  readonly checkpoints: readonly string[];
}

/** True while a QEMU process exists, that is, while the images are open and memory is part of a snapshot. */
export function isActive(state: DomainState): boolean {
  return state !== 'shutoff' && state !== 'crashed';
}

/** Reasons of `paused` under which libvirt itself is writing a snapshot's or save's memory. */
const SAVING_REASONS: ReadonlySet<string> = new Set(['saving', 'creating snapshot']);

/** True while libvirt holds the guest still to write its memory (hazards 8, 9 and 25). */
export function isSaving(domain: { readonly state: DomainState; readonly stateReason: string }): boolean {
  return domain.state === 'paused' && SAVING_REASONS.has(domain.stateReason);
}

/**
 * True when a snapshot of this VM would include the disk: cdroms, drives without medium and read-only disks take
 * no part; a floppy with a writable medium does (libvirt then refuses it, hazard 26).
 */
export function takesPart(disk: Disk): boolean {
  return disk.hasSource && !disk.readonly && disk.device !== 'cdrom';
}
