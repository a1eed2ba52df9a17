import type { Disk } from '../model/domain.ts';
import type { DiskImage, Image } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { externalDisks, internalDisks, locationOf, type SnapshotDisk } from '../model/snapshot.ts';
import { type DeleteScope, findDeletionSet } from './deletion-set.ts';
import type { DeleteFacts } from './rules/facts.ts';

/** The parts of a VM that the rules of a delete check and a delete changes. */
export type DeletionState = Pick<DeleteFacts, 'domain' | 'snapshots' | 'current' | 'images'>;

/**
 * The VM as the rules will find it after a deletion that they allow: internal snapshots are gone from the images, the
 * overlays of an external one are merged into the files below. Null if that is uncertain: the snapshots are not a single
 * line that ends in the current one, which libvirt versions treat differently, or not all files were read.
 */
export function afterDeletion(
  before: DeletionState,
  snapshot: SnapshotReport,
  scope: DeleteScope,
): DeletionState | null {
  const going = findDeletionSet(before.snapshots, snapshot, scope);
  if (going.every((each) => locationOf(each) === 'internal')) {
    const images = new Map(
      [...before.images].map(([target, image]) => [target, going.reduce(withoutTags(target), image)]),
    );
    return { ...before, ...withoutSnapshots(before, going), images };
  }
  if (going.length > 1 || !isLine(before)) return null;
  const merged = new Map(externalDisks(snapshot).map(({ target, source }) => [target, source]));
  const images = new Map<string, DiskImage>();
  for (const [target, image] of before.images) {
    const overlay = merged.get(target);
    const left = overlay === undefined ? image : withoutLink(image, overlay);
    if (!left) return null;
    images.set(target, left);
  }
  if ([...merged.keys()].some((target) => !images.has(target))) return null;
  const disks = before.domain.disks.map((disk) =>
    onto(disk, merged.get(disk.target), images.get(disk.target)),
  );
  const domain = { ...before.domain, disks };
  return { ...before, ...withoutSnapshots(before, going), domain, images };
}

/** Whether each snapshot has one child at most, and the last is current. */
function isLine({ snapshots, current }: DeletionState): boolean {
  const leaves = snapshots.filter(({ children }) => children.length === 0);
  return (
    leaves.length === 1 && leaves[0]?.name === current && snapshots.every((each) => each.children.length < 2)
  );
}

/** The children of a deleted snapshot become children of its parent; if it was current, its parent is current then. */
function withoutSnapshots(
  { snapshots, current }: DeletionState,
  going: readonly SnapshotReport[],
): Pick<DeletionState, 'snapshots' | 'current'> {
  const gone = new Map(going.map((each) => [each.name, each]));
  const survivingParentOf = (name: string | null): string | null => {
    const deleted = name === null ? undefined : gone.get(name);
    return deleted ? survivingParentOf(deleted.parent) : name;
  };
  const childrenOf = (name: string): string[] => {
    const deleted = gone.get(name);
    return deleted ? deleted.children.flatMap(childrenOf) : [name];
  };
  const left = survivingParentOf(current);
  return {
    current: left,
    snapshots: snapshots
      .filter(({ name }) => !gone.has(name))
      .map((each) => ({
        ...each,
        parent: survivingParentOf(each.parent),
        children: each.children.flatMap(childrenOf),
        isCurrent: each.name === left,
      })),
  };
}

const withoutTags =
  (target: string) =>
  (image: DiskImage, snapshot: SnapshotReport): DiskImage => {
    const disk = internalDisks(snapshot).find((each) => each.target === target);
    if (!disk || image.kind !== 'seen') return image;
    const holder = holderIn(image.chain, disk);
    const clean = (link: Image): Image =>
      link === holder ? { ...link, tags: link.tags.filter(({ name }) => name !== snapshot.name) } : link;
    const [top, ...below] = image.chain;
    return { ...image, chain: [clean(top), ...below.map(clean)] };
  };

const holderIn = (chain: readonly [Image, ...Image[]], { source }: SnapshotDisk): Image =>
  chain.find(({ path }) => path === source) ?? chain[0];

/** The chain after a link was merged into the one below; null if one of them is missing. */
function withoutLink(image: DiskImage, overlay: string | null): DiskImage | null {
  if (image.kind !== 'seen') return null;
  const at = image.chain.findIndex(({ path }) => path === overlay);
  const base = image.chain[at + 1];
  if (at < 0 || !base) return null;
  const links = image.chain.filter((_, i) => i !== at);
  const [top, ...below] = links.map((link, i) => (i === at - 1 ? { ...link, backing: base.path } : link));
  return top ? { kind: 'seen', chain: [top, ...below] } : null;
}

/** The disk with what is left of its chain. */
function onto(disk: Disk, overlay: string | null | undefined, image: DiskImage | undefined): Disk {
  if (!overlay || image?.kind !== 'seen') return disk;
  const [top] = image.chain;
  return disk.source === overlay
    ? { ...disk, source: top.path, driver: top.format, backing: disk.backing.slice(1) }
    : { ...disk, backing: disk.backing.filter((path) => path !== overlay) };
}
