import type { Domain } from '../../model/domain.ts';
import type { Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { WriteObstacles } from '../../model/write-obstacles.ts';
import type { ImageUsers } from '../../sharing/image-users.ts';
import type { OverlayTarget, StateFile } from '../../vm/external-state.ts';
import type { StoredDefinitionFacts } from './stored-definition.ts';

/** What is known before a revert. */
export interface RevertFacts extends Omit<StoredDefinitionFacts, 'domain' | 'snapshot' | 'daemonVersion'> {
  readonly domain: Domain;
  readonly snapshot: Snapshot;
  /** All snapshots of the VM. */
  readonly snapshots: readonly Snapshot[];
  readonly current: string | null;
  /**
   * The images that hold the state to revert to, by disk target: those of the definition stored with the snapshot. For
   * an external one they lie below its overlays.
   */
  readonly images: Images;
  /** The images in use now. */
  readonly active: Images;
  /** Whether the file of the guest's memory is there; null where there is none, or it cannot be looked at. */
  readonly memoryThere: boolean | null;
  /** null when libvirtd does not tell, or when no rule needs it. */
  readonly daemonVersion: DaemonVersion;
  /** Whether this libvirtd loads the memory of internal snapshots, where its version leaves that open; absent: nobody looked. */
  readonly loadsMemory?: boolean;
  /** Of an external snapshot, the files that keep its disks, as far as they are files of this host. */
  readonly states?: readonly StateFile[];
  /** The files over which libvirt would lay overlays, as far as they are on this host. */
  readonly overlayTargets?: readonly OverlayTarget[];
  /** Which other VMs use the files of this one. */
  readonly users: ImageUsers;
  /** Whether a snapshot of the present state is taken first (`--backup`). */
  readonly backup?: boolean;
  readonly resetNvram?: boolean;
  /** Why images cannot be written to; absent if that was not inspected. */
  readonly writeObstacles?: WriteObstacles;
}
