import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { Mode, SnapshotPlan } from '../../model/input/snapshot-spec.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { DirectoryState } from '../../vm/external-state.ts';
import type { Undercounted } from '../../vm/findings/undercounted.ts';

/** What is known before a snapshot is taken. */
export interface CreateFacts {
  readonly domain: Domain;
  readonly images: Images;
  readonly name: string;
  /** What will be made. `mode` is the mode of the plan, which `applyRules` selects rules by. */
  readonly plan: SnapshotPlan;
  readonly mode: Mode;
  /** By path, what exists where the plan puts a file. A path that cannot be read from here is missing. */
  readonly targetFiles: ReadonlyMap<string, TargetFile>;
  /** The state of the guest agent; null where no rule needs it. */
  readonly agent: Agent | null;
  /** Which other VMs use the files of this VM, and the files that the plan names. */
  readonly users: ImageUsers;
  /** Whether the name was made from a label, so that a prune finds the snapshot. */
  readonly labeled: boolean;
  /** The names of the existing snapshots of the VM. */
  readonly snapshotNames: readonly string[];
  /** null if libvirtd does not tell its version, or if no rule needs it. */
  readonly daemonVersion: DaemonVersion;
  /** The targets of the disks on which a block job runs. */
  readonly blockJobs: readonly string[];
  /** Whether this libvirtd loads the memory of internal snapshots, where its version leaves that open; absent: nobody looked. */
  readonly loadsMemory?: boolean;
  /** Bytes free where the memory will be written, and bytes that QEMU's process holds; null when unknown. */
  readonly freeBytes: number | null;
  readonly residentBytes: number | null;
  /** Absent where nobody looked. */
  readonly undercounted?: Undercounted;
  /** Why images cannot be written to; absent if that was not inspected. */
  readonly writeObstacles?: WriteObstacles;
}

/** What exists at a path where a file will be made. */
export interface TargetFile {
  /** null: nothing. */
  readonly holds: 'file' | 'device' | 'other' | null;
  /** Whether there is a symbolic link that leads to nothing. */
  readonly isDanglingLink?: boolean;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Whether a file can be created in that directory, as far as this host knows. */
  readonly directory: DirectoryState;
  /** Bytes free on its file system; null when unknown. */
  readonly freeBytes: number | null;
  /** The backing file of an image that exists there; null where there is none, or where it was not read. */
  readonly backing: string | null;
}

/** Whether the guest agent can freeze the guest's file systems, and why it cannot. */
export type Agent = 'answers' | 'frozen' | 'silent' | 'not-connected' | 'no-channel';
