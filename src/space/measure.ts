import { freeBytes, type HostFiles, writtenAt } from '../host/files.ts';
import { isActive, takesPart } from '../model/domain.ts';
import type { DiskImage, Image, Tag } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { SnapshotDisk } from '../model/snapshot.ts';
import { measureImage } from '../qemu/image-space.ts';
import type { ImageSpace, SnapshotSpace } from '../qemu/qcow2/space.ts';
import { NOTHING, plus, type Space } from '../qemu/qcow2/survey.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';
import type { WrittenUntil } from './flush.ts';
import { type MemoryFile, measureMemory, measureOverlays } from './overlays.ts';

/** What the snapshots of a VM cost: the sum over the images that hold them, and over what lies outside of them. */

/** Of one snapshot, in one image or in all. */
export interface Cost {
  readonly frees: Space;
  /** When it goes together with all that come before it in the order that was asked for. */
  readonly freesTogether: Space;
  readonly holds: Space;
  readonly vmState: Space;
  /** Bytes of the disks that differ from the parent; null where the parent is in no image. */
  readonly changedBytes: number | null;
}

export interface DiskCost {
  readonly target: string;
  readonly source: string | null;
  /** null where the image could not be measured, or holds no such snapshot; `problem` says why. */
  readonly cost: Cost | null;
  readonly problem: string | null;
}

export interface SnapshotCost {
  readonly snapshot: SnapshotReport;
  /** What the VM writes while it runs, or how QEMU merges an overlay, may make it differ. */
  readonly approximate: boolean;
  /** null when an image of it could not be measured: a part of a cost would be a wrong one. */
  readonly cost: Cost | null;
  readonly disks: readonly DiskCost[];
}

/** An image with the room around it. */
export interface MeasuredDisk {
  readonly target: string;
  readonly image: Image | null;
  readonly problem: string | null;
  /** Bytes free in the image's file system. */
  readonly freeBytes: number | null;
}

export interface VmSpace {
  /** While the VM runs, QEMU has not written all that it knows; or it has written more since it had. */
  readonly approximate: boolean;
  readonly snapshots: readonly SnapshotCost[];
  readonly disks: readonly MeasuredDisk[];
  /** What deleting all of these together frees; null when it could not be measured. */
  readonly together: { readonly names: readonly string[]; readonly frees: Space | null };
}

interface Measured {
  readonly target: string;
  readonly image: Image | null;
  readonly space: ImageSpace;
}

/**
 * Measures all snapshots of a VM; `names` are those that are to be deleted together, none for all. `writtenUntil`: by
 * `flushImages`.
 */
export async function measureVm(
  ctx: Context,
  vm: Vm,
  names: readonly string[],
  writtenUntil: WrittenUntil = null,
): Promise<VmSpace> {
  const { domain, snapshots, images } = vm;
  const wanted = names.length > 0 ? names : snapshots.map(({ name }) => name);
  const measured = await Promise.all(
    domain.disks
      .filter(takesPart)
      .map(({ target }) => measureDisk(ctx, target, images.get(target), snapshots, wanted)),
  );
  const memory = await measureMemory(ctx, snapshots);
  const costs = await Promise.all(snapshots.map((snapshot) => costOf(ctx, vm, snapshot, measured, memory)));
  const together = await freedTogether(ctx, vm, measured, memory, wanted);
  const approximate = isActive(domain.state) && !(await areWritten(ctx.files, measured, writtenUntil));
  return {
    approximate: approximate || together.approximate,
    snapshots: costs.map((cost) => ({ ...cost, approximate: approximate || cost.approximate })),
    disks: await Promise.all(
      measured.map(async ({ target, image, space }) => ({
        target,
        image,
        problem: problemOf(space),
        freeBytes: image && (await freeBytes(ctx.files, image.path)),
      })),
    ),
    together: { names: wanted, frees: together.frees },
  };
}

/** Whether nothing was written to the images since, so that what was read is all that QEMU knew then. */
async function areWritten(
  files: HostFiles,
  measured: readonly Measured[],
  until: WrittenUntil,
): Promise<boolean> {
  if (until === null || until === Number.POSITIVE_INFINITY) return until !== null;
  const times = await Promise.all(measured.map(({ image }) => image && writtenAt(files, image.path)));
  return times.every((time) => time !== null && time <= until);
}

async function measureDisk(
  ctx: Context,
  target: string,
  looked: DiskImage | undefined,
  snapshots: readonly SnapshotReport[],
  wanted: readonly string[],
): Promise<Measured> {
  const unmeasured = (detail: string): Measured => ({
    target,
    image: null,
    space: { kind: 'unmeasured', why: 'unreadable', detail },
  });
  if (looked?.kind === 'unseen') return unmeasured(`the image is out of reach (${looked.why})`);
  if (looked?.kind !== 'seen') return unmeasured(looked?.detail || 'the image is missing');
  const [image] = looked.chain;
  // what a guest has written to the beginning of its raw disk is no table of snapshots
  if (image.format !== 'qcow2') return { ...unmeasured('it is no qcow2 image'), image };
  const ids = new Map(image.tags.map((tag: Tag) => [tag.name, tag.id]));
  const since = snapshots.flatMap(({ name, parent }): [string, string][] => {
    const id = ids.get(name);
    const before = ids.get(parent ?? '');
    return id !== undefined && before !== undefined ? [[id, before]] : [];
  });
  const order = wanted.flatMap((name) => ids.get(name) ?? []);
  return {
    target,
    image,
    space: await measureImage(ctx, image.path, { order, since: new Map(since) }),
  };
}

const problemOf = (space: ImageSpace): string | null => (space.kind === 'measured' ? null : space.detail);

async function costOf(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  measured: readonly Measured[],
  memory: ReadonlyMap<string, MemoryFile>,
): Promise<SnapshotCost> {
  const found = await Promise.all(
    snapshot.disks.map(({ target, source, location }) =>
      location === 'external' && source !== null
        ? costOutside(ctx, vm, snapshot, { target, source })
        : { ...costInside(snapshot, { target, source, location }, measured), approximate: false },
    ),
  );
  const disks = found.map(({ approximate, ...disk }) => disk);
  const costs = disks.flatMap(({ cost }) => cost ?? []);
  return {
    snapshot,
    disks,
    approximate: found.some(({ approximate }) => approximate),
    cost:
      costs.length === disks.length && costs.length > 0
        ? sum([...costs, ...memoryCost(memory, snapshot)])
        : null,
  };
}

/** The cost of a disk whose snapshot is inside its image. */
function costInside(
  { name }: SnapshotReport,
  { target, source, location }: SnapshotDisk,
  measured: readonly Measured[],
): DiskCost {
  const disk = measured.find((each) => each.target === target);
  const none = (problem: string): DiskCost => ({ target, source, cost: null, problem });
  if (location !== 'internal') return none(`it is ${location}`);
  if (!disk) return none('the VM has no such disk now');
  if (disk.space.kind === 'unmeasured') return none(disk.space.detail);
  if (disk.image && source !== null && disk.image.path !== source) return none(`it is in ${source}`);
  const [found, ...others] = disk.space.snapshots.filter((each) => each.name === name);
  if (!found || others.length > 0) return none(`the image holds it ${found ? others.length + 1 : 0} times`);
  return { target, source, cost: toCost(found), problem: null };
}

/** The same of one that has an overlay. */
async function costOutside(
  ctx: Context,
  { images }: Vm,
  { children }: SnapshotReport,
  { target, source }: { readonly target: string; readonly source: string },
): Promise<DiskCost & { readonly approximate: boolean }> {
  const none = (problem: string) => ({ target, source, cost: null, problem, approximate: false });
  // each goes on from what lies below the overlay
  if (children.length > 1)
    return none(`${children.length} snapshots follow it, and libvirt deletes no such one`);
  const merged = await measureOverlays(ctx, images.get(target), [source]);
  if (merged.kind === 'unmeasured') return none(merged.problem);
  const { frees, holds, approximate } = merged;
  return {
    target,
    source,
    problem: null,
    approximate,
    cost: { frees, freesTogether: frees, holds, vmState: NOTHING, changedBytes: null },
  };
}

/** A file of memory as a part of the cost: it changes nothing of the disks. */
function memoryCost(memory: ReadonlyMap<string, MemoryFile>, { name }: SnapshotReport): Cost[] {
  const file = memory.get(name);
  if (!file) return [];
  const { space, isFreed } = file;
  const frees = isFreed ? space : NOTHING;
  return [{ frees, freesTogether: frees, holds: space, vmState: space, changedBytes: 0 }];
}

const toCost = ({ frees, freesTogether, holds, vmState, changedBytes }: SnapshotSpace): Cost => ({
  frees,
  freesTogether,
  holds,
  vmState,
  changedBytes,
});

function sum(costs: readonly Cost[]): Cost {
  const total = (part: (cost: Cost) => Space) => costs.reduce((all, cost) => plus(all, part(cost)), NOTHING);
  const changes = costs.map(({ changedBytes }) => changedBytes);
  return {
    frees: total(({ frees }) => frees),
    freesTogether: total(({ freesTogether }) => freesTogether),
    holds: total(({ holds }) => holds),
    vmState: total(({ vmState }) => vmState),
    changedBytes: changes.reduce((all, one) => (all === null || one === null ? null : all + one)),
  };
}

interface Together {
  readonly frees: Space | null;
  readonly approximate: boolean;
}

/** In each image, what the last of them in turn adds up to; with their overlays, merged, and their memory. */
async function freedTogether(
  ctx: Context,
  { snapshots, images }: Vm,
  measured: readonly Measured[],
  memory: ReadonlyMap<string, MemoryFile>,
  names: readonly string[],
): Promise<Together> {
  const gone = snapshots.filter(({ name }) => names.includes(name));
  let total = gone
    .flatMap((snapshot) => memoryCost(memory, snapshot))
    .reduce((all, { frees }) => plus(all, frees), NOTHING);
  let isApproximate = false;
  for (const { target, space } of measured) {
    if (space.kind === 'unmeasured') return { frees: null, approximate: false };
    const theirs = space.snapshots.filter(({ name }) => names.includes(name));
    const largest = theirs.reduce<Space>(
      (most, { freesTogether }) => (freesTogether.clusterBytes >= most.clusterBytes ? freesTogether : most),
      NOTHING,
    );
    const overlays = gone.flatMap(({ disks, children }) =>
      disks.flatMap((disk) =>
        disk.target === target && disk.location === 'external' ? [{ source: disk.source, children }] : [],
      ),
    );
    if (overlays.some(({ source, children }) => source === null || children.length > 1))
      return { frees: null, approximate: false };
    const merged = await measureOverlays(
      ctx,
      images.get(target),
      overlays.flatMap(({ source }) => source ?? []),
    );
    if (merged.kind === 'unmeasured') return { frees: null, approximate: false };
    isApproximate ||= merged.approximate;
    total = plus(plus(total, largest), merged.frees);
  }
  return { frees: total, approximate: isApproximate };
}
