import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { UnusedMemory } from '../../qemu/unused-memory.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { UnusedFileFinding } from '../unused-files.ts';

/** All that is known of a VM that is checked. */
export interface CheckFacts {
  readonly domain: Domain;
  readonly snapshots: readonly SnapshotReport[];
  /** Snapshots that libvirt lists but cannot describe, with its error. */
  readonly unread: readonly { readonly name: string; readonly failure: { readonly message: string } }[];
  readonly current: string | null;
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
  /** By snapshot name, the images that the definition stored with it names; none while it is being taken. */
  readonly stored: ReadonlyMap<string, Images>;
  /** Which other VMs use its files. */
  readonly users: ImageUsers;
  /** Files beside the images that neither the VM nor a snapshot uses. */
  readonly unusedFiles: readonly UnusedFileFinding[];
  /** By disk target, saved memory in the image that no snapshot uses; only disks that have any. */
  readonly unusedMemory: ReadonlyMap<string, UnusedMemory>;
  readonly daemonVersion: DaemonVersion;
  /** The files made by its snapshots that other users than their owner can read. */
  readonly readableFiles: readonly string[];
  /** Why images cannot be written to; absent: nobody looked. */
  readonly writeObstacles?: WriteObstacles;
  /** Seconds since the epoch. */
  readonly nowSeconds: number;
  /** The newest snapshot must not be older than these seconds; null where any age is accepted. */
  readonly maxAge: {
    readonly seconds: number;
    readonly says: string;
    /** Only snapshots of this label count; null: all do. */
    readonly label: string | null;
  } | null;
}
