import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { UnusedMemory } from '../../qemu/unused-memory.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { UnusedFileFinding } from '../unused-files.ts';

/** A VM with all that is known of it. */
export interface CheckFacts {
  readonly domain: Domain;
  readonly snapshots: readonly SnapshotReport[];
  /** Snapshots that libvirt lists and does not tell of, and what it says. */
  readonly unread: readonly { readonly name: string; readonly failure: { readonly message: string } }[];
  readonly current: string | null;
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
  /** By the name of a snapshot, the images that it is in: of the definition stored with it; none while it is being taken. */
  readonly stored: ReadonlyMap<string, Images>;
  /** Which other VMs use its files. */
  readonly users: ImageUsers;
  /** Beside its images. */
  readonly unusedFiles: readonly UnusedFileFinding[];
  /** By target, where something was found. */
  readonly unusedMemory: ReadonlyMap<string, UnusedMemory>;
  readonly daemonVersion: DaemonVersion;
  /** Those of the files that its snapshots have made that others than their owner may read. */
  readonly readableFiles: readonly string[];
  /** Why images cannot be written to; absent: nobody looked. */
  readonly writeObstacles?: WriteObstacles;
  /** Seconds since the epoch. */
  readonly nowSeconds: number;
  /** The newest snapshot (of those that count) must not be older than these seconds; null: any age is right. */
  readonly maxAge: {
    readonly seconds: number;
    readonly says: string;
    /** Only snapshots of this label count; null: all do. */
    readonly label: string | null;
  } | null;
}
