import type { FileUse, VmDefinitions } from './vm-files.ts';

/** What a run knows about all VMs of the host. It is compared with libvirt before each write, and what has changed is read again. */

/** A VM as it was last read. */
export interface KnownVm {
  readonly definition: string;
  readonly next: string | null;
  readonly saved: string | null;
  readonly snapshotNames: readonly string[];
  /** Whether the definitions stored with these snapshots were read. */
  readonly hasSnapshots: boolean;
  readonly definitions: VmDefinitions;
  /** Whether everything that its definitions and snapshots name could be read. */
  readonly isWhole: boolean;
  /** The files that it uses, each with its identity. */
  readonly uses: readonly (FileUse & { readonly file: string })[];
  /** Whether the backing chain of one of its images could not be read. */
  readonly isUnreadable: boolean;
  /** Whether the VM was written to since: libvirt may have stored other things under the same names. */
  readonly isStale: boolean;
}

/** The files that an image names, and the stamp of its own file when they were read. */
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
  /** The reading that was begun last, until it ends. */
  reading: Promise<void>;
  /** The VMs that could not be read at all the last time. */
  failed: readonly { readonly name: string; readonly uuid: string }[];
  /** When the definitions of all VMs were last compared, in milliseconds since the epoch; null: never. */
  comparedAt: number | null;
}

/** The knowledge at the beginning of a run. */
export const nothingKnown = (): KnownVms => ({
  vms: new Map(),
  links: new Map(),
  reading: Promise.resolve(),
  failed: [],
  comparedAt: null,
});

/** After a write of our own: the VM is read again when it is needed. */
export function invalidate({ vms }: KnownVms, uuid: string): void {
  const known = vms.get(uuid);
  if (known) vms.set(uuid, { ...known, isStale: true });
}
