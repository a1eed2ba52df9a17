import type { Disk, Domain } from '../src/model/domain.ts';
import type { DiskImage, Image, Tag } from '../src/model/image.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { ImageUse, ImageUsers } from '../src/sharing/image-users.ts';

/** Values of the model in which all is well, but for the changes that a test makes. */

export const MiB = 1024 * 1024;

/** When the snapshots of these values were taken, unless told: 2026-11-23 09:06:40 UTC. */
export const TAKEN_AT = 1_795_424_800;

export function disk(changes: Partial<Disk> = {}): Disk {
  const target = changes.target ?? 'vda';
  return {
    target,
    device: 'disk',
    storage: 'file',
    source: `/vm/${target}.qcow2`,
    backing: [],
    backingFormats: new Map(),
    hasSource: true,
    pool: null,
    driver: 'qcow2',
    encrypted: false,
    readonly: false,
    transient: false,
    shareable: false,
    snapshot: null,
    mirrored: false,
    ...changes,
  };
}

export function domain(changes: Partial<Domain> = {}): Domain {
  return {
    name: 'centos7-1',
    uuid: '423f4d57-8887-409e-a29c-e2ee1690a61b',
    memoryBytes: 512 * MiB,
    disks: [disk()],
    pflash: null,
    hostDevices: [],
    sharedFilesystems: [],
    agentChannel: 'none',
    tpms: [],
    policy: null,
    commandLineDrives: [],
    state: 'shutoff',
    stateReason: '',
    busy: false,
    managedSave: false,
    transient: false,
    checkpoints: [],
    ...changes,
  };
}

export function tag(name: string, changes: Partial<Tag> = {}): Tag {
  return { id: '1', name, vmStateBytes: 0, createdAtSeconds: TAKEN_AT, ...changes };
}

export function image(changes: Partial<Image> = {}): Image {
  return {
    path: '/vm/vda.qcow2',
    format: 'qcow2',
    virtualBytes: 64 * MiB,
    allocatedBytes: 2 * MiB,
    clusterBytes: 65536,
    tags: [],
    backing: null,
    looksLike: null,
    corrupt: false,
    dirty: false,
    encrypted: false,
    dataFile: null,
    refcountBits: 16,
    ...changes,
  };
}

/** An image that was looked at, with those that it is laid over. */
export function seen(active: Partial<Image> = {}, ...backing: Partial<Image>[]): DiskImage {
  return { kind: 'seen', chain: [image(active), ...backing.map(image)] };
}

export function snapshot(name: string, changes: Partial<Snapshot> = {}): Snapshot {
  return {
    name,
    description: null,
    state: 'shutoff',
    parent: null,
    createdAtSeconds: TAKEN_AT,
    memory: { location: 'no', file: null },
    disks: [{ target: 'vda', location: 'internal', source: '/vm/vda.qcow2' }],
    definedDisks: [{ target: 'vda', source: '/vm/vda.qcow2', driver: 'qcow2' }],
    ...changes,
  };
}

/** Another VM that is off and has a file as its disk. */
export const use = (changes: Partial<ImageUse> = {}): ImageUse => ({
  vm: { name: 'web-2', uuid: '0f3a', state: changes.open ? 'running' : 'shutoff' },
  kind: 'disk',
  target: 'vda',
  open: false,
  writes: true,
  snapshots: [],
  ...changes,
});

/** What is known where one file is used so. */
export const usedBy = (path: string, ...uses: readonly Partial<ImageUse>[]): ImageUsers => ({
  uses: new Map([[path, uses.map(use)]]),
  unknown: [],
});
