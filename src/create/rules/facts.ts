import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { Mode, SnapshotPlan } from '../../model/snapshot-spec.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';

/** What is known before a snapshot is taken. */
export interface CreateFacts {
  readonly domain: Domain;
  readonly images: Images;
  readonly name: string;
  /** What is to be made; `mode` is that of the plan. */
  readonly plan: SnapshotPlan;
  readonly mode: Mode;
  /** By path, what is where the plan wants a file; one that cannot be looked at is not in it. */
  readonly targetFiles: ReadonlyMap<string, TargetFile>;
  /** The guest agent, where it is needed. */
  readonly agent: Agent | null;
  /** Which other VMs use the files of this one, and those that the plan names. */
  readonly users: ImageUsers;
  /** Its name is made of a label, for a prune to find. */
  readonly labelled: boolean;
  /** The snapshots that libvirt knows already. */
  readonly snapshotNames: readonly string[];
  /** null when libvirtd does not tell, or when no rule needs it. */
  readonly daemonVersion: DaemonVersion;
  /** Disk targets with a block job under way. */
  readonly blockJobs: readonly string[];
  /** Bytes free where the memory will be written, and bytes that QEMU's process holds; null when unknown. */
  readonly freeBytes: number | null;
  readonly residentBytes: number | null;
  /** Why images cannot be written to; absent: nobody looked. */
  readonly writeObstacles?: WriteObstacles;
}

/** What is at a path where a file is to be made. */
export interface TargetFile {
  /** null: nothing. */
  readonly holds: 'file' | 'device' | 'other' | null;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Why nothing can be made there, as far as it can be told. */
  readonly directory: 'fine' | 'missing' | 'read-only' | 'immutable';
  /** Bytes free on its file system; null when unknown. */
  readonly freeBytes: number | null;
  /** What an image that is there is laid over; null: nothing, or it is no image, or nobody looked. */
  readonly backing: string | null;
}

/** Whether the guest can be asked to hold its file systems still; null: nobody wants to know. */
export type Agent = 'answers' | 'frozen' | 'silent' | 'not-connected' | 'no-channel';
