import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { OverlayTarget, StateFile } from '../../vm/external-state.ts';
import type { Undercounted } from '../../vm/findings/undercounted.ts';
import type { StoredDefinitionFacts } from './stored-definition.ts';

/** What is known before a revert. */
export interface RevertFacts extends Omit<StoredDefinitionFacts, 'domain' | 'snapshot' | 'daemonVersion'> {
  readonly domain: Domain;
  readonly snapshot: Snapshot;
  /** All snapshots of the VM. */
  readonly snapshots: readonly Snapshot[];
  readonly current: string | null;
  /**
   * The images that contain the state to revert to, by disk target: those of the definition stored with the snapshot. For
   * an external snapshot, they are below its overlays.
   */
  readonly images: Images;
  /** The images in use now. */
  readonly active: Images;
  /** Whether the memory file exists; null if the snapshot has none, or if that cannot be checked. */
  readonly memoryThere: boolean | null;
  /** null if libvirtd does not tell its version, or if no rule needs it. */
  readonly daemonVersion: DaemonVersion;
  /** Whether this libvirtd loads the memory of internal snapshots, if its version leaves that open; absent if that was not checked. */
  readonly loadsMemory?: boolean;
  /** The files of this host that contain the disks of an external snapshot. */
  readonly states?: readonly StateFile[];
  /** The files of this host on top of which libvirt would create overlays. */
  readonly overlayTargets?: readonly OverlayTarget[];
  /** Which other VMs use the files of this one. */
  readonly users: ImageUsers;
  /** Whether a snapshot of the present state is taken first (`--backup`). */
  readonly backup?: boolean;
  readonly resetNvram?: boolean;
  /** Absent where nobody looked. */
  readonly undercounted?: Undercounted;
  /** Why images cannot be written to; absent if that was not inspected. */
  readonly writeObstacles?: WriteObstacles;
}
