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
import { type MemorySpace, measureMemory, measureOverlays } from './overlays.ts';

/** What the snapshots of a VM cost: the sum over the images that hold them, the overlays and the memory files. */

/** The cost of one snapshot, in one image or in all. */
export interface Cost {
  readonly frees: Space;
  /** What is freed if it is deleted together with all snapshots before it in the requested order. */
  readonly freesTogether: Space;
  readonly holds: Space;
  readonly vmState: Space;
  /** Bytes of the disks that differ from the parent; null if the parent is in no image. */
  readonly changedBytes: number | null;
}

export interface DiskCost {
  readonly target: string;
  readonly source: string | null;
  /** null if the image could not be measured or does not hold the snapshot; `problem` says why. */
  readonly cost: Cost | null;
  readonly problem: string | null;
}

export interface SnapshotCost {
  readonly snapshot: SnapshotReport;
  /**
   * The figures are estimates, because the VM writes while it runs, or because they depend on how QEMU merges an
   * overlay.
   */
  readonly approximate: boolean;
  /** null if one of its images could not be measured: a sum with a missing part would be wrong. */
  readonly cost: Cost | null;
  readonly disks: readonly DiskCost[];
}

/** An image, with the free space of its file system. */
export interface MeasuredDisk {
  readonly target: string;
  readonly image: Image | null;
  readonly problem: string | null;
  /** Bytes free in the image's file system. */
  readonly freeBytes: number | null;
}

export interface VmSpace {
  /** True if the VM runs, because QEMU may not have written all its metadata. */
  readonly approximate: boolean;
  readonly snapshots: readonly SnapshotCost[];
  readonly disks: readonly MeasuredDisk[];
  /** What deleting all these snapshots together frees; null if it could not be measured. */
  readonly together: { readonly names: readonly string[]; readonly frees: Space | null };
}

interface Measured {
  readonly target: string;
  readonly image: Image | null;
  readonly space: ImageSpace;
}

/**
 * Measures all snapshots of a VM. `names` are those to be deleted together, none for all. `writtenUntil` is the result
 * of `flushImages`.
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

/** Whether nothing was written to the images since then, so that they contained all of QEMU's metadata. */
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
  if (looked?.kind === 'unseen') return unmeasured(`the image cannot be read (${looked.why})`);
  if (looked?.kind !== 'seen') return unmeasured(looked?.detail || 'the image is missing');
  const [image] = looked.chain;
  // the first bytes of a raw disk are data of the guest, not a snapshot table
  if (image.format !== 'qcow2') return { ...unmeasured('it is not a qcow2 image'), image };
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
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  vm: Vm,
  snapshot: SnapshotReport,
  measured: readonly Measured[],
  memory: ReadonlyMap<string, MemorySpace>,
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

/** The cost for one disk of an internal snapshot. */
function costInside(
  { name }: SnapshotReport,
  { target, source, location }: SnapshotDisk,
  measured: readonly Measured[],
): DiskCost {
  const disk = measured.find((each) => each.target === target);
  const none = (problem: string): DiskCost => ({ target, source, cost: null, problem });
  if (location !== 'internal') return none(`it is ${location}`);
  if (!disk) return none('the VM does not have this disk any more');
  if (disk.space.kind === 'unmeasured') return none(disk.space.detail);
  if (disk.image && source !== null && disk.image.path !== source) return none(`it is in ${source}`);
  const [found, ...others] = disk.space.snapshots.filter((each) => each.name === name);
  if (!found || others.length > 0)
    return none(`the image contains it ${found ? others.length + 1 : 0} times`);
  return { target, source, cost: toCost(found), problem: null };
}

/** The cost for one disk of an external snapshot. */
async function costOutside(
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  { images }: Vm,
  { children }: SnapshotReport,
  { target, source }: { readonly target: string; readonly source: string },
): Promise<DiskCost & { readonly approximate: boolean }> {
  const none = (problem: string) => ({ target, source, cost: null, problem, approximate: false });
  // each child continues from the backing file of the overlay
  if (children.length > 1)
    return none(`${children.length} snapshots follow it, and libvirt cannot delete such a snapshot`);
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

/** The cost of a memory file, which does not change the disks. */
function memoryCost(memory: ReadonlyMap<string, MemorySpace>, { name }: SnapshotReport): Cost[] {
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

/** The sum over all images for deleting the snapshots together, with their merged overlays and their memory files. */
async function freedTogether(
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  { snapshots, images }: Vm,
  measured: readonly Measured[],
  memory: ReadonlyMap<string, MemorySpace>,
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
