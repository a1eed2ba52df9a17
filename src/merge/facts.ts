import { freeBytes } from '../host/files.ts';
import { createDefinitionReader } from '../libvirt/definition/files.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { isActive } from '../model/domain.ts';
import { inText } from '../model/text.ts';
import type { WriteObstacles } from '../model/write-obstacles.ts';
import type { Context } from '../run/context.ts';
import { readUsersOf } from '../sharing/find-image-users.ts';
import { createUnusedFileFinder } from '../sharing/find-unused-files.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import { measureOverlays } from '../space/overlays.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import { completeVm, requireAllRead, type Vm } from '../vm/load.ts';
import { type LeftOverlays, leftOverlaysAmong } from './left-overlays.ts';
import { type DiskMerge, type MergePlan, planMerges, type Wanted, wantedDisks } from './plan.ts';

/** What the rules of a merge check. */
export interface MergeFacts extends MergePlan {
  readonly vm: Vm;
  readonly wanted: Wanted;
  /** All uses of the files of the merges, also by this VM. */
  readonly users: ImageUsers;
  /** By target, the file of the VM's next start; absent for a disk that its definition does not have. */
  readonly nextStart: ReadonlyMap<string, string>;
  /** The merges whose base grows by more than is known to be free. */
  readonly tight: readonly Tight[];
  readonly writeObstacles: WriteObstacles;
  /** What merges that were killed have left, without looking at the content. */
  readonly left: readonly LeftOverlays[];
}

/** A merge for which the file system of the base may be too full. */
export interface Tight {
  readonly target: string;
  readonly base: string;
  readonly growthBytes: number;
  readonly freeBytes: number;
}

/** Reads the VM, what can be merged, and who uses the files. Throws `not-found`. */
export async function readMergeFacts(ctx: Context, uuid: string, wanted: Wanted): Promise<MergeFacts> {
  const vm = await completeVm(ctx, await readByUuid(ctx.virsh, uuid));
  requireAllRead(ctx, vm, `merge the overlays of ${inText(vm.domain.name)}`);
  const plan = planMerges(vm.domain.disks, vm.images, vm.snapshots, wanted);
  const paths = plan.merges.flatMap(({ overlays, base }) => [base, ...overlays].map(({ path }) => path));
  const isOff = !isActive(vm.domain.state);
  const [users, nextStart, tight, writeObstacles, unused] = await Promise.all([
    readUsersOf(ctx, { uri: vm.uri, files: { paths }, except: null }),
    readNextStart(ctx, uuid),
    tightMerges(ctx, vm, plan.merges),
    readWriteObstacles(
      ctx,
      vm.uri,
      plan.merges.map(({ base }) => base.path),
      { adds: null, byRoot: true, isOff },
    ),
    createUnusedFileFinder(ctx)(vm),
  ]);
  const disks = wantedDisks(vm.domain.disks, wanted);
  const left = vm.unread.length > 0 ? [] : leftOverlaysAmong(unused, disks, vm.images, vm.snapshots);
  return { vm, wanted, ...plan, users, nextStart, tight, writeObstacles, left };
}

/** By target, the files of the persistent definition; of a transient VM the live ones. */
export async function readNextStart(
  { virsh }: Pick<Context, 'virsh'>,
  uuid: string,
): Promise<ReadonlyMap<string, string>> {
  const { texts } = await virsh.read([['dumpxml', '--domain', uuid, '--inactive']]);
  const { files } = createDefinitionReader()(texts[0] ?? '');
  return new Map(
    files.flatMap(({ target, path, below }) => (target === null || below ? [] : [[target, path]])),
  );
}

async function tightMerges(ctx: Context, { images }: Vm, merges: readonly DiskMerge[]): Promise<Tight[]> {
  const found: Tight[] = [];
  for (const { target, overlays, base, job } of merges) {
    const free = job === 'ready' ? null : await freeBytes(ctx.files, base.path);
    // a file grows at most to the size of its disk
    const mostBytes = Math.max(...overlays.map(({ virtualBytes }) => virtualBytes));
    if (free === null || free >= mostBytes) continue;
    const paths = overlays.map(({ path }) => path);
    const cost = await measureOverlays(ctx, images.get(target), paths);
    if (cost.kind === 'unmeasured') continue;
    const growthBytes = cost.holds.hostBytes - cost.frees.hostBytes;
    if (growthBytes > free) found.push({ target, base: base.path, growthBytes, freeBytes: free });
  }
  return found;
}
