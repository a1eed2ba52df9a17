import { chainOf, type DiskImage, type Images, type Tag, tagsNamed } from './image.ts';
import { type Marks, readMarks } from './marks/marks.ts';
import { type Reader, type Reading, readersOf } from './reader.ts';
import { hasMemory, internalDisks, type Snapshot } from './snapshot.ts';
import { childNames, oldestFirst } from './tree.ts';

/** Snapshots with all known facts: libvirt's metadata, their place in the tree, and what the images hold. */

export interface SnapshotReport extends Snapshot, Marks {
  /** The description as its author wrote it, without the marks of kvmsnap. */
  readonly description: string | null;
  /** The runs of kvmsnap that read it now, which protects it too. */
  readonly readers: readonly Reader[];
  readonly children: readonly string[];
  readonly isCurrent: boolean;
  /**
   * Bytes of guest memory inside the images; 0 without memory; null if no image was inspected, or if the memory is in a
   * file.
   */
  readonly vmStateBytes: number | null;
  /** Bytes of guest memory saved with it, in the images or in a file; 0 without memory; null if that was not inspected. */
  readonly memoryBytes: number | null;
  /** Whether libvirt is still writing it, so that it may vanish again (hazard 25). */
  readonly underWay: boolean;
  /** Whether libvirt looks for one of its files at an old path, as far as the images in use show. */
  readonly moved: boolean;
}

export interface ReportFacts {
  readonly current: string | null;
  /** Whether a libvirt job holds the VM, perhaps to write its memory. */
  readonly busy: boolean;
  /** By disk target; null if no image was inspected. */
  readonly images: Images | null;
  /** The runs of kvmsnap that read snapshots of this VM; absent: none. */
  readonly readings?: readonly Reading[];
}

/** Reports on a VM's snapshots, oldest first. */
export function reportSnapshots(snapshots: readonly Snapshot[], facts: ReportFacts): SnapshotReport[] {
  const sorted = oldestFirst(snapshots);
  const children = childNames(snapshots);
  const newest = sorted.at(-1);
  return sorted.map((snapshot) => {
    const inImages = vmStateBytes(snapshot, facts.images);
    const { text, ...marks } = readMarks(snapshot.description);
    return {
      ...snapshot,
      description: text,
      ...marks,
      readers: readersOf(facts.readings ?? [], snapshot),
      children: children.get(snapshot.name) ?? [],
      isCurrent: snapshot.name === facts.current,
      vmStateBytes: inImages,
      memoryBytes: inImages,
      // libvirt makes it the current snapshot when it is complete
      underWay:
        facts.busy &&
        snapshot === newest &&
        snapshot.name !== facts.current &&
        !isInAllDisks(snapshot, facts.images),
      moved: isMoved(snapshot, facts.images),
    };
  });
}

/**
 * Whether a file of an external snapshot has moved, or an image in use holds the tag that libvirt looks for in another
 * file.
 */
const isMoved = (snapshot: Snapshot, images: ReportFacts['images']): boolean =>
  (snapshot.movedFiles?.moved.length ?? 0) > 0 ||
  (images !== null &&
    internalDisks(snapshot).some(
      (disk) =>
        disk.source !== null &&
        tagsOf(snapshot, disk, images) === null &&
        tagsNamed(images.get(disk.target), snapshot.name).length > 0,
    ));

/**
 * The tags of this snapshot in one of its internal disks: in the image that it names, in whichever chain that is now.
 * Null if the image was not inspected, or the VM does not use it.
 */
export function tagsOf(
  snapshot: { readonly name: string },
  { target, source }: { readonly target: string; readonly source: string | null },
  images: Images,
): readonly Tag[] | null {
  const own = images.get(target);
  const [link] =
    source === null
      ? chainOf(own)
      : [own, ...images.values()].flatMap((image) => (image ? linkAt(image, source) : []));
  return link?.tags.filter((tag) => tag.name === snapshot.name) ?? null;
}

const linkAt = (image: DiskImage, path: string) => chainOf(image).filter((link) => link.path === path);

function vmStateBytes(snapshot: Snapshot, images: ReportFacts['images']): number | null {
  if (!hasMemory(snapshot)) return images === null ? null : 0;
  if (images === null || snapshot.memory.location !== 'internal') return null;
  const tags = internalDisks(snapshot).map((disk) => tagsOf(snapshot, disk, images));
  if (tags.some((found) => found === null)) return null;
  return tags.flatMap((found) => found ?? []).reduce((sum, tag) => sum + tag.vmStateBytes, 0);
}

/**
 * QEMU writes the tags one disk after the other, with the memory in the first: a snapshot is complete only if all
 * inspected disks hold it.
 */
function isInAllDisks(snapshot: Snapshot, images: ReportFacts['images']): boolean {
  if (images === null) return false;
  const seen = internalDisks(snapshot).flatMap((disk) => {
    const tags = tagsOf(snapshot, disk, images);
    return tags === null ? [] : [tags.length];
  });
  return seen.length > 0 && seen.every((count) => count > 0);
}
