import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { DeleteScope } from '../deletion-set.ts';

/** What is known before a delete. */
export interface DeleteFacts {
  readonly domain: Domain;
  /** The one that is named. */
  readonly snapshot: SnapshotReport;
  readonly scope: DeleteScope;
  /** All of the VM. */
  readonly snapshots: readonly SnapshotReport[];
  readonly current: string | null;
  /** By target, the disks in use now. */
  readonly images: Images;
  /** By snapshot, of those with a disk in an image that the VM does not use: the images that libvirt will look into. */
  readonly stored: ReadonlyMap<string, Images>;
  /** null when libvirtd does not tell; asked only where it decides (`asksVersion`). */
  readonly daemonVersion: DaemonVersion;
  /** Which other VMs use the files of this one. */
  readonly users: ImageUsers;
  /** Of an external snapshot, the merges that may not fit; what cannot be told exactly is not in it. */
  readonly merges: readonly Merge[];
  /** Why images cannot be written to; absent: nobody looked. */
  readonly writeObstacles?: WriteObstacles;
}

/** An overlay that is to be merged into the file below, which grows before the overlay goes. */
export interface Merge {
  readonly target: string;
  readonly base: string;
  readonly growthBytes: number;
  /** Of the file system of the base, or of the device. */
  readonly freeBytes: number;
  readonly isDevice?: boolean;
}
