import type { VmDefinitions } from './vm-files.ts';

/** What a run knows of all VMs of the host. It is compared with libvirt before each write, and what changed is read anew. */

/** One VM as it was read last. */
export interface KnownVm {
  readonly definition: string;
  readonly next: string | null;
  readonly snapshotNames: readonly string[];
  readonly definitions: VmDefinitions;
  /** Something stored with its snapshots could not be read, so it is read again. */
  readonly isWhole: boolean;
}

/** The files that an image names, and what its file was like when they were read. */
export interface KnownLinks {
  readonly stamp: string;
  readonly backing: { readonly path: string; readonly format: string | null } | null;
  readonly dataFile: string | null;
}

export interface KnownVms {
  /** By UUID. */
  readonly vms: Map<string, KnownVm>;
  /** By path. */
  readonly links: Map<string, KnownLinks>;
  /** UUIDs of the VMs of which it was told that not everything could be read. */
  readonly told: Set<string>;
  /** The reading under way, and the one that comes after it: whoever asks in between shares that. */
  readonly reading: { now: Promise<void> | null; next: Promise<void> | null };
  /** Those that could not be read at all the last time. */
  failed: readonly { readonly name: string; readonly uuid: string }[];
}

/** As it is when a run begins. */
export const nothingKnown = (): KnownVms => ({
  vms: new Map(),
  links: new Map(),
  told: new Set(),
  reading: { now: null, next: null },
  failed: [],
});

/** After a write of ours: what libvirt has stored of that VM may be other, under the same names. */
export function forgetVm({ vms }: KnownVms, uuid: string): void {
  vms.delete(uuid);
}
