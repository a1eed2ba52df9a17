import type { Disk } from '../model/domain.ts';
import { chainOf, type Image, type Images } from '../model/image.ts';
import { stem } from '../model/paths.ts';
import { externalDisks, type Snapshot, stateFile } from '../model/snapshot.ts';

/**
 * Which overlays of a VM belong to no snapshot and can be merged: those from the top of a chain down to the first file that a
 * snapshot has made, that is named by `--into`, or that has another name than the files above it, as the template of a linked clone has.
 */

/** The merge of one disk. */
export interface DiskMerge {
  readonly target: string;
  /** The overlays that are merged, the active one first. */
  readonly overlays: readonly [Image, ...Image[]];
  /** The file into which they are merged. */
  readonly base: Image;
  /** `ready`: a merge by somebody else is complete except for its last step, and QEMU keeps both files equal until then. */
  readonly job: 'none' | 'ready';
}

/** A disk on an overlay that belongs to no snapshot, over a file with another name. */
export interface OtherBase {
  readonly target: string;
  readonly overlay: string;
  readonly base: string;
}

export interface MergePlan {
  readonly merges: readonly DiskMerge[];
  readonly others: readonly OtherBase[];
}

/** What the user wants merged. */
export interface Wanted {
  /** The targets of disks; empty: all disks. */
  readonly disks: readonly string[];
  /** The path of the file into which to merge, whatever its name is; null: found by the names. */
  readonly into: string | null;
}

/** The merges of a VM. `snapshots`: all that libvirt knows of it. */
export function planMerges(
  disks: readonly Disk[],
  images: Images,
  snapshots: readonly Snapshot[],
  wanted: Wanted,
): MergePlan {
  const taken = { made: filesMade(snapshots), states: filesOfStates(snapshots) };
  const planned = wantedDisks(disks, wanted).map((disk) =>
    planDisk(disk, chainOf(images.get(disk.target)), taken, wanted.into),
  );
  return {
    merges: planned.flatMap(({ merge }) => merge ?? []),
    others: planned.flatMap(({ other }) => other ?? []),
  };
}

export const wantedDisks = (disks: readonly Disk[], { disks: targets }: Pick<Wanted, 'disks'>): Disk[] =>
  disks.filter(({ target }) => targets.length === 0 || targets.includes(target));

/** What snapshots have made, and the files that keep their states: a revert puts the VM on a new overlay of such a file. */
interface Taken {
  readonly made: ReadonlySet<string>;
  readonly states: ReadonlySet<string>;
}

function planDisk(
  { target, mirror }: Disk,
  chain: readonly Image[],
  taken: Taken,
  into: string | null,
): { readonly merge?: DiskMerge; readonly other?: OtherBase } {
  const isReady = mirror?.job === 'active-commit' && mirror.ready;
  const end = isReady ? mirror.path : into;
  const count = end === null ? ownCount(chain, taken) : chain.findIndex(({ path }) => path === end);
  const [top, ...below] = chain.slice(0, Math.max(0, count));
  const base = chain[count];
  if (top && base)
    return { merge: { target, overlays: [top, ...below], base, job: isReady ? 'ready' : 'none' } };
  const [active, under] = chain;
  if (!active || !under || taken.made.has(active.path) || taken.states.has(under.path)) return {};
  return { other: { target, overlay: active.path, base: under.path } };
}

/** The overlays on top that belong to no snapshot and that have the name of the file below, as libvirt names them. */
function ownCount(chain: readonly Image[], { made, states }: Taken): number {
  return chain.findIndex(({ path }, i) => {
    const below = chain[i + 1];
    return !below || made.has(path) || states.has(below.path) || !isNamedAfter(path, below.path);
  });
}

/**
 * Whether libvirt names an overlay of that file so: `web.backup` over `web.qcow2` (virDomainSnapshotDefAssignExternalNames).
 * A name that ends like that of an image, such as `debian.web-1.qcow2`, may be a clone that a person has named.
 */
export function isNamedAfter(overlay: string, base: string): boolean {
  const start = `${stem(base)}.`;
  return overlay.startsWith(start) && !overlay.slice(start.length).includes('/') && !IMAGE_NAME.test(overlay);
}

const IMAGE_NAME = /\.(?:qcow2?|img|raw|qed|vmdk|vdi|vhdx?|iso)$/i;

/** The overlays that snapshots have made, and those of reverts to them. */
export const filesMade = (snapshots: readonly Snapshot[]): ReadonlySet<string> =>
  new Set(
    snapshots.flatMap((snapshot) => [
      ...externalDisks(snapshot).flatMap(({ source }) => source ?? []),
      ...(snapshot.revertOverlays ?? []),
    ]),
  );

const filesOfStates = (snapshots: readonly Snapshot[]): ReadonlySet<string> =>
  new Set(
    snapshots.flatMap((snapshot) =>
      externalDisks(snapshot).flatMap((disk) => stateFile(snapshot, disk) ?? []),
    ),
  );
