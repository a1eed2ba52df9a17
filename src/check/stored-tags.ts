import { type Images, tagsNamed } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { internalDisks } from '../model/snapshot.ts';
import { movedDisks } from '../vm/moved.ts';

/** What the disks hold of the snapshots that libvirt knows. */

/** Its tag is in none of its disks, and all of them were looked at where the snapshot has them, and where they may be now. */
export function isGone(snapshot: SnapshotReport, stored: Images | undefined, images: Images): boolean {
  const held = internalDisks(snapshot).map(({ target }) => stored?.get(target));
  return (
    !snapshot.underWay &&
    held.length > 0 &&
    held.every((image) => image?.kind === 'seen' && tagsNamed(image, snapshot.name).length === 0) &&
    movedDisks(snapshot, images, stored).length === 0
  );
}

/** Older tags of a snapshot's name in one of its disks. */
export interface Twins {
  readonly target: string;
  readonly path: string;
  /** How many of them there are beside the right one. */
  readonly stale: number;
}

/**
 * The tags that cannot be the snapshot's, because they were there before it was begun (hazard 4). Only where the one that
 * is left is its own, and stands behind them: of one name, qemu-img deletes the first in the image's table.
 */
export function staleDuplicates(
  snapshot: SnapshotReport,
  stored: Images | undefined,
  images: Images,
): Twins[] {
  if (snapshot.underWay) return [];
  return internalDisks(snapshot).flatMap(({ target }) => {
    const [image, active] = [stored?.get(target), images.get(target)];
    if (image?.kind !== 'seen' || active?.kind !== 'seen') return [];
    const { path } = image.chain[0];
    const found = tagsNamed(image, snapshot.name);
    const own = found.findIndex((tag) => tag.createdAtSeconds >= snapshot.createdAtSeconds);
    if (path !== active.chain[0].path || own < 1 || own !== found.length - 1) return [];
    return [{ target, path, stale: own }];
  });
}
