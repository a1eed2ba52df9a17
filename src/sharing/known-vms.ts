import type { FileUse, VmDefinitions } from './vm-files.ts';

/** What a run knows of all VMs of the host. It is compared with libvirt before each write, and what changed is read anew. */

/** One VM as it was read last. */
export interface KnownVm {
  readonly definition: string;
  readonly next: string | null;
  readonly snapshotNames: readonly string[];
  /** What is stored with these snapshots was read. */
  readonly hasSnapshots: boolean;
  readonly definitions: VmDefinitions;
  /** All that its definitions and snapshots name could be read. */
  readonly isWhole: boolean;
  /** The files that it uses, by what identifies each. */
  readonly uses: readonly (FileUse & { readonly file: string })[];
  /** What one of its images lies on could not be read. */
  readonly isUnreadable: boolean;
  /** It was written to since: what libvirt has stored of it may be other, under the same names. */
  readonly isStale: boolean;
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
  /** The end of the reading that was begun last. */
  reading: Promise<void>;
  /** Those that could not be read at all the last time. */
  failed: readonly { readonly name: string; readonly uuid: string }[];
  /** When the definitions of all of them were compared last, in milliseconds since the epoch; null: never. */
  comparedAt: number | null;
}

/** As it is when a run begins. */
export const nothingKnown = (): KnownVms => ({
  vms: new Map(),
  links: new Map(),
  reading: Promise.resolve(),
  failed: [],
  comparedAt: null,
});

/** After a write of ours: that VM is read again when somebody has to know. */
export function invalidate({ vms }: KnownVms, uuid: string): void {
  const known = vms.get(uuid);
  if (known) vms.set(uuid, { ...known, isStale: true });
}
