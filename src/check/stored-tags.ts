import { type Images, tagsNamed } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { internalDisks } from '../model/snapshot.ts';
import { movedDisks } from '../vm/moved-images.ts';

/** Compares the tags in the images with the snapshots that libvirt knows. */

/**
 * Whether none of the snapshot's disks holds its tag. All of them must have been inspected, in the stored files and in
 * the files that the VM uses now.
 */
export function isGone(snapshot: SnapshotReport, stored: Images | undefined, images: Images): boolean {
  const held = internalDisks(snapshot).map(({ target }) => stored?.get(target));
  return (
    !snapshot.underWay &&
    held.length > 0 &&
    held.every((image) => image?.kind === 'seen' && tagsNamed(image, snapshot.name).length === 0) &&
    movedDisks(snapshot, images, stored).length === 0
  );
}

/** Older tags in one disk with the name of a snapshot. */
export interface Twins {
  readonly target: string;
  readonly path: string;
  /** How many there are in addition to the snapshot's own tag. */
  readonly stale: number;
}

/**
 * The tags of the snapshot's name that cannot belong to it because they are older than the snapshot (hazard 4). They
 * are returned only if one tag remains that belongs to the snapshot and stands after them: of several tags with one
 * name, qemu-img deletes the first in the image's table.
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
