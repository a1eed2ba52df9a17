import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { Undercounted } from '../../vm/findings/undercounted.ts';
import type { DeleteScope } from '../deletion-set.ts';

/** What is known before a delete. */
export interface DeleteFacts {
  readonly domain: Domain;
  /** The snapshot that the user named. */
  readonly snapshot: SnapshotReport;
  readonly scope: DeleteScope;
  /** All snapshots of the VM. */
  readonly snapshots: readonly SnapshotReport[];
  readonly current: string | null;
  /** By disk target, the images in use now. */
  readonly images: Images;
  /**
   * By snapshot name, the images that libvirt will open for it; only for snapshots in images that the VM does not use now.
   */
  readonly stored: ReadonlyMap<string, Images>;
  /** null if libvirtd does not tell its version. It is asked only if a rule needs it (`asksVersion`). */
  readonly daemonVersion: DaemonVersion;
  /** Which other VMs use the files of this one. */
  readonly users: ImageUsers;
  /** For an external snapshot of a VM with several disks, how the VM itself uses the files that change. */
  readonly ownUses?: ImageUsers;
  /**
   * For an external snapshot, the merges that may need more space than is free. Merges whose growth is not known exactly
   * are left out.
   */
  readonly merges: readonly Merge[];
  /** Absent where nobody looked. */
  readonly undercounted?: Undercounted;
  /** Why images cannot be written to; absent if that was not inspected. */
  readonly writeObstacles?: WriteObstacles;
}

/** The merge of an overlay into the file below it, which grows before the overlay is removed. */
export interface Merge {
  readonly target: string;
  readonly base: string;
  readonly growthBytes: number;
  /** Of the file system of the base, or of the device. */
  readonly freeBytes: number;
  readonly isDevice?: boolean;
}
