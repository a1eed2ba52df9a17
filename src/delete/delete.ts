import { KvmsnapError } from '../errors.ts';
import { freeBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { readDaemonVersion, readMerged } from '../libvirt/runtime.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import { isActive } from '../model/domain.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import { chainOf, chainPaths, type Images, tagsNamed } from '../model/image.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import { applyRules, type Finding } from '../model/rule.ts';
import { externalDisks, internalDisks, locationOf } from '../model/snapshot.ts';
import { localTime } from '../output/format.ts';
import { deleteTagLine } from '../qemu/command-lines.ts';
import { roomOnDevice } from '../qemu/image-room.ts';
import { requireNothingNew } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import { lostCurrent, residue, withResidue } from '../run/failed-write.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { carryOut, readAfter, type WriteEnd } from '../run/write.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import { completeVm, findSnapshot, readAgain, requireAllRead, stillBeingTaken, type Vm } from '../vm/load.ts';
import { lookAgainWhile } from '../vm/recheck.ts';
import { lookAtStoredDisks } from '../vm/stored-disks.ts';
import { type DeleteScope, deletionSet } from './deletion-set.ts';
import { clearLeftovers, type LeftoversFound } from './remove-leftover-files.ts';
import { asksVersion, DELETE_RULES, deletesExternal } from './rules/common.ts';
import type { Merge } from './rules/facts.ts';
import { HOLD_RULES } from './rules/hold.ts';
import { strayVictims } from './rules/place.ts';
import { writtenByDelete } from './rules/write.ts';

export interface DeleteRequest {
  readonly reach: DeleteScope;
  /** Only libvirt's knowledge goes; what is in the images stays. */
  readonly metadataOnly: boolean;
  /** Files that libvirt leaves behind go too, as far as nothing uses them. */
  readonly leftovers: boolean;
}

/** What a delete did: the VM afterwards, what went, and the files that were left behind. */
export interface DeleteDone extends LeftoversFound {
  readonly vm: Vm;
  readonly gone: readonly SnapshotReport[];
}

/** libvirt's command for it. */
export function deleteCommand(
  vm: Vm,
  snapshot: SnapshotReport,
  { reach, metadataOnly }: DeleteRequest,
): VirshCommand {
  return [
    'snapshot-delete',
    ...['--domain', vm.domain.uuid, '--snapshotname', snapshot.name],
    ...(reach === 'only' ? [] : [`--${reach}`]),
    ...(metadataOnly ? ['--metadata'] : []),
  ];
}

/**
 * Throws when deleting this would be half done, or would take more with it than was asked for: it is still being written, it
 * is held, or a rule is against it. `foreseen`: the VM is not so yet, and room is no matter.
 */
export async function checkDeletable(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  { reach, metadataOnly }: DeleteRequest,
  foreseen = false,
): Promise<void> {
  const { domain, snapshots, current, images } = vm;
  for (const victim of deletionSet(snapshots, snapshot, reach))
    if (victim.underWay) throw stillBeingTaken(vm, victim);
  if (!metadataOnly || reach !== 'only')
    requireAllRead(ctx, vm, `delete '${snapshot.name}' of '${domain.name}'`);
  checkHolds(ctx, vm, snapshot, { reach });
  if (metadataOnly) return;
  const facts = { domain, snapshot, reach, snapshots, current, images };
  const external = deletesExternal(facts);
  const [users, daemonVersion, merges, stored] = await Promise.all([
    readImageUsers(ctx, vm),
    asksVersion(facts) ? readDaemonVersion(ctx.virsh) : null,
    external && !foreseen ? tightMerges(ctx, vm, snapshot) : [],
    lookAtStored(ctx, vm, strayVictims(facts)),
  ]);
  const known = { ...facts, users, daemonVersion, merges, stored };
  const writeObstacles = await readWriteObstacles(ctx, vm.uri, writtenByDelete(known), {
    adds: 'table',
    byRoot: !isActive(domain.state),
  });
  refuseOn(ctx, refusalOf(vm, snapshot), applyRules(DELETE_RULES, { ...known, writeObstacles }), false);
}

/** By snapshot, the images that libvirt will look into for it. */
async function lookAtStored(
  ctx: Context,
  vm: Vm,
  snapshots: readonly SnapshotReport[],
): Promise<ReadonlyMap<string, Images>> {
  const found = await Promise.all(
    snapshots.map(async (snapshot) => [snapshot.name, await lookAtStoredDisks(ctx, vm, snapshot)] as const),
  );
  return new Map(found);
}

/** Throws when it, or another that would go with it, is on hold. */
export function checkHolds(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  { reach }: Pick<DeleteRequest, 'reach'>,
): void {
  const { domain, snapshots } = vm;
  refuseOn(
    ctx,
    refusalOf(vm, snapshot),
    applyRules(HOLD_RULES, { domain, snapshot, reach, snapshots }),
    false,
  );
}

const refusalOf = ({ domain }: Vm, { name }: SnapshotReport): string =>
  `cannot delete '${name}' of '${domain.name}'`;

/** The merges of a snapshot's overlays that might not fit. */
async function tightMerges(ctx: Context, vm: Vm, snapshot: SnapshotReport): Promise<Merge[]> {
  const merges: Merge[] = [];
  for (const { target, source, base, freeBytes, isDevice } of await narrowPlaces(ctx, vm, snapshot)) {
    const { measureOverlays } = await import('../space/overlays.ts');
    const cost = await measureOverlays(ctx, vm.images.get(target), [source]);
    if (cost.kind === 'unmeasured' || cost.approximate) continue;
    const unit = isDevice ? 'clusterBytes' : 'hostBytes';
    const growthBytes = cost.holds[unit] - cost.frees[unit];
    merges.push({ target, base, growthBytes, freeBytes, isDevice });
  }
  return merges;
}

/** A merge for which there is less room than its base could ever take. */
interface NarrowPlace {
  readonly target: string;
  readonly source: string;
  readonly base: string;
  readonly freeBytes: number;
  readonly isDevice: boolean;
}

/** An image grows by its disk's size at the most; `merges`: so many times, this one and those before it. */
export async function narrowPlaces(
  ctx: Context,
  { images }: Pick<Vm, 'images'>,
  snapshot: SnapshotReport,
  merges = 1,
): Promise<NarrowPlace[]> {
  const narrow: NarrowPlace[] = [];
  for (const { target, source } of externalDisks(snapshot)) {
    const image = images.get(target);
    const chain = chainOf(image);
    const base = chain[chain.findIndex(({ path }) => path === source) + 1];
    if (!base || source === null || base === chain[0]) continue;
    const mostBytes = base.virtualBytes * merges;
    const onDevice = await roomOnDevice(base.path, mostBytes);
    const free = onDevice ?? (await freeBytes(base.path, ctx));
    if (free === null || free >= mostBytes) continue;
    narrow.push({ target, source, base: base.path, freeBytes: free, isDevice: onDevice !== null });
  }
  return narrow;
}

/**
 * Deletes one snapshot, with its children where wanted, and looks: gone from libvirt and, unless only the metadata was
 * to go, from every disk.
 */
export async function deleteSnapshot(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  request: DeleteRequest,
  tell: TellLoss = () => undefined,
): Promise<DeleteDone> {
  return retryWhileBusy(ctx, async (ctx, again) => {
    if (!again) return deleteNow(ctx, vm, snapshot, request, tell);
    const now = await afterWaiting(ctx, vm, snapshot.name, request);
    return deleteNow(ctx, now, findSnapshot(now, snapshot.name), request, tell);
  });
}

/** Told of what goes once nothing is against it, and before it goes. */
export type TellLoss = (ctx: Context, victims: readonly SnapshotReport[]) => void;

/** The VM as it is now, after a wait. Throws `check` when what is named would take more with it than before. */
async function afterWaiting(ctx: Context, before: Vm, name: string, { reach }: DeleteRequest): Promise<Vm> {
  const now = await readAgain(ctx, before.domain);
  const victims = ({ snapshots }: Vm) =>
    snapshots
      .filter((each) => each.name === name)
      .flatMap((named) => deletionSet(snapshots, named, reach))
      .map(({ name, createdAtSeconds }) => `'${name}' of ${localTime(createdAtSeconds)} would be deleted`);
  requireNothingNew(victims(before), victims(now));
  return now;
}

async function deleteNow(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  request: DeleteRequest,
  tell: TellLoss,
): Promise<DeleteDone> {
  const victims = deletionSet(vm.snapshots, snapshot, request.reach);
  await checkDeletable(ctx, vm, snapshot, request);
  tell(ctx, victims);
  const withMemory = request.metadataOnly
    ? []
    : victims.filter(({ memory }) => memory.location === 'internal');
  const space = withMemory.length > 0 ? await import('../space/leftover-memory.ts') : null;
  const before = await space?.readLeftovers(vm.images);
  const merged = request.metadataOnly ? [] : externalDisks(snapshot).map(({ target }) => target);
  return ctx.interrupts.protect(`the deletion of '${snapshot.name}' of '${vm.domain.name}'`, async () => {
    const end = await carryOut(ctx, {
      command: deleteCommand(vm, snapshot, request),
      label: `deleting '${snapshot.name}' of '${vm.domain.name}'`,
      growing: null,
      ...(merged.length > 0 ? { progress: () => readMerged(ctx.virsh, vm.domain.uuid, merged) } : {}),
    });
    const done = await verify(ctx, vm, { snapshot, victims, request, end });
    const names = withMemory.map(({ name }) => name);
    if (before) await space?.noteKeptMemory(ctx, done.vm, names, before);
    return done;
  });
}

/** A deletion that virsh has come back from. */
interface Deletion {
  readonly snapshot: SnapshotReport;
  readonly victims: readonly SnapshotReport[];
  readonly request: DeleteRequest;
  readonly end: WriteEnd;
}

/** Looks whether what was to go is gone, and clears away the files of external ones. */
async function verify(ctx: Context, before: Vm, deletion: Deletion): Promise<DeleteDone> {
  const { victims, request, end } = deletion;
  const { after, orphaned } = await lookAgainWhile(
    ctx,
    (seen) => seen.orphaned.length > 0,
    async () => {
      const after = await completeVm(ctx, await readAfter(ctx, before.domain.uuid, end));
      if (request.metadataOnly) return { after, orphaned: [] };
      const strays = strayVictims({
        ...deletion,
        ...request,
        snapshots: before.snapshots,
        images: after.images,
      });
      return { after, orphaned: orphans(after, victims, await lookAtStored(ctx, after, strays)) };
    },
  );
  const forgotten = lostCurrent(ctx, after, successorOfCurrent(before, victims));
  const odd = residue(ctx, after.domain, before.domain.state);
  const failure = failureOf(after, deletion, orphaned, odd.length > 0);
  if (failure) throw withResidue(failure, [...odd, ...forgotten]);
  for (const { what, command } of forgotten) ctx.terminal.note(`warning: ${what}; this mends it: ${command}`);
  const found = victims.some(isExternal)
    ? await clearLeftovers(ctx, after, victims.flatMap(mentionedFiles), request.leftovers)
    : { leftovers: [], unremoved: [] };
  return { vm: after, gone: victims, ...found };
}

const isExternal = (snapshot: SnapshotReport): boolean => locationOf(snapshot) === 'external';

/** What is not as it should be after a deletion; null: all is. A merge starts a VM that is off, so its state counts. */
function failureOf(
  after: Vm,
  { snapshot, victims, request, end }: Deletion,
  orphaned: readonly Orphaned[],
  isOdd: boolean,
): KvmsnapError | null {
  const present = new Set([...after.snapshotNames, ...after.snapshots.map(({ name }) => name)]);
  const left = victims.filter(({ name }) => present.has(name));
  if (left.length > 0) return withResidue(stillThere(after, left, end), halfGone(after, left));
  if (orphaned.length > 0) return leftInImages(orphaned);
  if (!victims.some(isExternal)) return null;
  const unmerged = request.metadataOnly ? [] : victims.flatMap((victim) => unmergedIn(after, victim));
  return unmerged.length > 0 || isOdd ? notWhole(snapshot, unmerged) : null;
}

/** The snapshot that libvirt makes the current one: the nearest above, of those that stay. */
function successorOfCurrent({ snapshots, current }: Vm, victims: readonly SnapshotReport[]): string | null {
  const going = new Set(victims.map(({ name }) => name));
  const parents = new Map(snapshots.map(({ name, parent }) => [name, parent]));
  let name = current;
  while (name !== null && going.has(name)) name = parents.get(name) ?? null;
  return name;
}

/** libvirtd deletes from disk to disk, and forgets the snapshot last. */
function halfGone(after: Vm, left: readonly SnapshotReport[]): Finding[] {
  return left.flatMap((snapshot) => {
    const targets = internalDisks(snapshot)
      .filter((disk) => tagsOf(snapshot, disk, after.images)?.length === 0)
      .map(({ target }) => target);
    if (targets.length === 0) return [];
    const what = `'${snapshot.name}' is no longer in disk ${targets.join(', ')}`;
    return [{ what, hint: 'run the same delete again' }];
  });
}

function stillThere(vm: Vm, left: readonly SnapshotReport[], end: WriteEnd): KvmsnapError {
  const names = left.map(({ name }) => `'${name}'`).join(', ');
  const what = `the snapshot ${names} of '${vm.domain.name}' was not deleted`;
  if (end.kind === 'done') return new KvmsnapError('refused', `virsh reported success, but ${what}`);
  if (end.kind === 'unknown') {
    return new KvmsnapError(
      'refused',
      `${what}; virsh was ended before it could tell (${virshMessage(end.stderr)}), and libvirtd may still do it`,
    );
  }
  return virshFailure(what, end.stderr);
}

interface Orphaned {
  readonly name: string;
  readonly target: string;
  readonly path: string;
}

/** The tags that outlived their snapshot. */
const orphans = (
  { images }: Vm,
  victims: readonly SnapshotReport[],
  stored: ReadonlyMap<string, Images>,
): Orphaned[] =>
  victims.flatMap((victim) =>
    internalDisks(victim)
      .filter((disk) => {
        const elsewhere = stored.get(victim.name)?.get(disk.target);
        const tags = elsewhere ? tagsNamed(elsewhere, victim.name) : tagsOf(victim, disk, images);
        return (tags?.length ?? 0) > 0;
      })
      .map(({ target, source }) => ({ name: victim.name, target, path: source ?? '' })),
  );

/** The overlays of a deleted external snapshot that the VM still lies on. */
function unmergedIn(after: Vm, victim: SnapshotReport): string[] {
  const active = new Map(after.domain.disks.map((disk) => [disk.target, disk.source]));
  return externalDisks(victim).flatMap(({ target, source }) => {
    const image = after.images.get(target);
    const chain = image?.kind === 'seen' ? chainPaths(image) : [active.get(target)];
    return source !== null && chain.includes(source) ? [source] : [];
  });
}

const notWhole = ({ name }: SnapshotReport, unmerged: readonly string[]): KvmsnapError =>
  new KvmsnapError(
    'refused',
    unmerged.length === 0
      ? `'${name}' is deleted`
      : `libvirt has forgotten '${name}', but the VM still lies on ${unmerged.join(', ')}`,
  );

function leftInImages(orphaned: readonly Orphaned[]): KvmsnapError {
  const commands = orphaned.map(({ name, path }) => deleteTagLine(name, path));
  const what = orphaned.map(({ name, target }) => `'${name}' in disk ${target}`).join(', ');
  return new KvmsnapError('refused', `libvirt has forgotten them, but still in the images: ${what}`, {
    hint: `with the VM off: ${commands.join(' && ')}`,
    command: commands[0],
  });
}
