import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { UnusedMemory } from '../../qemu/unused-memory.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { UnusedFileFinding } from '../../sharing/unused-files.ts';
import type { Undercounted } from '../../vm/findings/undercounted.ts';
import type { LeftPause } from '../../vm/left-pause.ts';
import type { Freed } from '../../watch/freed.ts';
import type { Limits } from './limits.ts';

/** All facts about a VM that is checked. */
export interface CheckFacts {
  readonly domain: Domain;
  readonly snapshots: readonly SnapshotReport[];
  /** Snapshots that libvirt lists but cannot describe, with libvirt's error. */
  readonly unread: readonly { readonly name: string; readonly failure: { readonly message: string } }[];
  readonly current: string | null;
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
  /** By snapshot name, the images that its stored definition names; none while the snapshot is being taken. */
  readonly stored: ReadonlyMap<string, Images>;
  /** Which other VMs use the files of this one. */
  readonly users: ImageUsers;
  /** Files next to the images that neither the VM nor a snapshot uses. */
  readonly unusedFiles: readonly UnusedFileFinding[];
  /** By disk target, saved memory in the image that no snapshot uses; only disks that have any. */
  readonly unusedMemory: ReadonlyMap<string, UnusedMemory>;
  readonly daemonVersion: DaemonVersion;
  /** Files that snapshots of the VM have made and that users other than the owner can read. */
  readonly readableFiles: readonly string[];
  /** Absent where nobody looked. */
  readonly undercounted?: Undercounted;
  /** Why images cannot be written to; absent if that was not inspected. */
  readonly writeObstacles?: WriteObstacles;
  /** A pause that a `create --together` has made, and what is known of it; null: none. Absent: nobody looked. */
  readonly leftPause?: LeftPause | null;
  /** Seconds since the epoch. */
  readonly nowSeconds: number;
  readonly limits: Limits;
  /** Why the limits of the command line do not apply to the VM; null: they do. */
  readonly limitsLeftOut: string | null;
  /** The names of the policies that a run on this host can have; null: the VM is on another host. */
  readonly policies: readonly string[] | null;
  /** What deleting the snapshots to which the limits apply would free; null if no limit needs it. */
  readonly freed: Freed | null;
}
