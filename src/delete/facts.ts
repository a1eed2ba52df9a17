import { freeBytes } from '../host/files.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { isActive } from '../model/domain.ts';
import { chainOf, type Images } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { externalDisks } from '../model/snapshot.ts';
import { roomOnDevice } from '../qemu/image-room.ts';
import type { Context, VmReader } from '../run/context.ts';
import { readImageUsers, readUsersOf } from '../sharing/find-image-users.ts';
import { type ImageUsers, NOBODY } from '../sharing/image-users.ts';
import { type KnownCounts, readUndercounted } from '../vm/find-undercounted.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import type { Vm } from '../vm/load.ts';
import { readStoredImages } from '../vm/stored-disks.ts';
import type { DeleteScope } from './deletion-set.ts';
import { deletesExternal } from './rules/external.ts';
import type { DeleteFacts, Merge } from './rules/facts.ts';
import { membersStoredElsewhere } from './rules/location.ts';
import { filesTouched } from './rules/sharing.ts';
import { asksVersion } from './rules/table.ts';
import { deletedIn, writtenByDelete } from './rules/write.ts';

/** Reads the facts that the rules of a delete need. */

export interface KnownFacts {
  /** Absent: other users of the VM's files are read now. */
  readonly users?: () => Promise<ImageUsers>;
  /** The counts of images that were read before, also for later calls. */
  readonly counts?: KnownCounts;
  /** The VM is a planned one, for which free space is not measured. */
  readonly isForeseen?: boolean;
}

/** Reads what the rules of a deletion check: the images, the users of the files, the stored definitions. */
export async function readDeleteFacts(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  scope: DeleteScope,
  { users: usersOf, isForeseen = false, counts }: KnownFacts = {},
): Promise<DeleteFacts> {
  const { domain, snapshots, current, images } = vm;
  const facts = { domain, snapshot, scope, snapshots, current, images };
  const isMerged = deletesExternal(facts) && !isForeseen;
  const [users, daemonVersion, merges, stored] = await Promise.all([
    usersOf?.() ?? readImageUsers(ctx, vm),
    asksVersion(facts) ? readDaemonVersion(ctx.virsh) : null,
    isMerged ? mergesThatMayNotFit(ctx, vm, snapshot) : [],
    readStored(ctx, vm, membersStoredElsewhere(facts)),
  ]);
  const known = { ...facts, users, daemonVersion, merges, stored };
  const touched = isMerged && domain.disks.length > 1 ? filesTouched(known) : [];
  const [writeObstacles, undercounted, ownUses] = await Promise.all([
    readWriteObstacles(ctx, vm.uri, writtenByDelete(known), {
      adds: 'table',
      byRoot: !isActive(domain.state),
      isOff: !isActive(domain.state),
    }),
    readUndercounted(
      ctx,
      vm,
      deletedIn(known).map(({ image }) => image),
      counts,
    ),
    touched.length === 0
      ? NOBODY
      : readUsersOf(ctx, { uri: vm.uri, files: { paths: touched.map(({ path }) => path) }, except: null }),
  ]);
  return { ...known, writeObstacles, undercounted, ownUses };
}

/** By snapshot, the images in which libvirt will look for it. */
export async function readStored(
  ctx: VmReader,
  vm: Vm,
  snapshots: readonly SnapshotReport[],
): Promise<ReadonlyMap<string, Images>> {
  const found = await Promise.all(
    snapshots.map(async (snapshot) => [snapshot.name, await readStoredImages(ctx, vm, snapshot)] as const),
  );
  return new Map(found);
}

/** The merges of a snapshot's overlays that may need more space than is free. */
async function mergesThatMayNotFit(
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  vm: Vm,
  snapshot: SnapshotReport,
): Promise<Merge[]> {
  const merges: Merge[] = [];
  for (const { target, source, base, freeBytes, isDevice } of await tightOverlays(ctx, vm, snapshot)) {
    const { measureOverlays } = await import('../space/overlays.ts');
    const cost = await measureOverlays(ctx, vm.images.get(target), [source]);
    if (cost.kind === 'unmeasured' || cost.approximate) continue;
    const unit = isDevice ? 'clusterBytes' : 'hostBytes';
    const growthBytes = cost.holds[unit] - cost.frees[unit];
    merges.push({ target, base, growthBytes, freeBytes, isDevice });
  }
  return merges;
}

/** A merge with less free space than the image below could need at most. */
interface TightOverlay {
  readonly target: string;
  readonly source: string;
  readonly base: string;
  readonly freeBytes: number;
  readonly isDevice: boolean;
}

/** An image grows at most by the size of its disk; `merges`: how many merges may do that, this one and the earlier ones. */
export async function tightOverlays(
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  { images }: Pick<Vm, 'images'>,
  snapshot: SnapshotReport,
  merges = 1,
): Promise<TightOverlay[]> {
  const narrow: TightOverlay[] = [];
  for (const { target, source } of externalDisks(snapshot)) {
    const image = images.get(target);
    const chain = chainOf(image);
    const base = chain[chain.findIndex(({ path }) => path === source) + 1];
    if (!base || source === null || base === chain[0]) continue;
    const mostBytes = base.virtualBytes * merges;
    const onDevice = await roomOnDevice(ctx.files, base.path, mostBytes);
    const free = onDevice ?? (await freeBytes(ctx.files, base.path));
    if (free === null || free >= mostBytes) continue;
    narrow.push({ target, source, base: base.path, freeBytes: free, isDevice: onDevice !== null });
  }
  return narrow;
}
