import type { Context } from '../run/context.ts';
import { strayVictims } from './rules/place.ts';
import { asksVersion, DELETE_RULES, deletesExternal, type Merge } from './rules/common.ts';
import { doomed, type Reach } from './deletion-set.ts';
import { HOLD_RULES } from './rules/hold.ts';
import { chainOf, chainPaths, type Images, tagsNamed } from '../model/image.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import { type Finding, judge } from '../model/rule.ts';
import { deleteTagLine } from '../qemu/command-lines.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import { externalDisks, internalDisks, locationOf } from '../model/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { readDaemonVersion, readMerged } from '../libvirt/runtime.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import { localTime } from '../output/format.ts';
import { carryOut, readAfter, type WriteEnd } from '../run/write.ts';
import { aftermath, lostCurrent, withAftermath } from '../run/failed-write.ts';
import { clearLeftovers, type LeftoversFound } from './remove-leftover-files.ts';
import { requireNothingNew } from '../run/confirm.ts';
import { freeBytes } from '../host/files.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import { lookAgainWhile } from '../vm/recheck.ts';
import {
  completeMachine,
  findSnapshot,
  type Machine,
  readAgain,
  requireAllRead,
  stillBeingTaken,
} from '../vm/load.ts';
import { patiently } from '../run/retry-while-busy.ts';
import { refuseOn } from '../run/enforce.ts';
import { lookAtStoredDisks } from '../vm/stored-disks.ts';

export interface DeleteRequest {
  readonly reach: Reach;
  /** Only libvirt's knowledge goes; what is in the images stays. */
  readonly metadataOnly: boolean;
  /** Files that libvirt leaves behind go too, as far as nothing uses them. */
  readonly leftovers: boolean;
}

/** What a delete did: the machine afterwards, what went, and the files that were left behind. */
export interface DeleteDone extends LeftoversFound {
  readonly machine: Machine;
  readonly gone: readonly SnapshotReport[];
}

/** libvirt's command for it. */
export function deleteCommand(
  machine: Machine,
  snapshot: SnapshotReport,
  { reach, metadataOnly }: DeleteRequest,
): VirshCommand {
  return [
    'snapshot-delete',
    ...['--domain', machine.domain.uuid, '--snapshotname', snapshot.name],
    ...(reach === 'only' ? [] : [`--${reach}`]),
    ...(metadataOnly ? ['--metadata'] : []),
  ];
}

/**
 * Throws when deleting this would be half done, or would take more with it than was asked for: it is still being written, it
 * is held, or a rule is against it. `foreseen`: the machine is not so yet, and room is no matter.
 */
export async function checkDeletable(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  { reach, metadataOnly }: DeleteRequest,
  foreseen = false,
): Promise<void> {
  const { domain, snapshots, current, images } = machine;
  for (const victim of doomed(snapshots, snapshot, reach))
    if (victim.underWay) throw stillBeingTaken(machine, victim);
  if (!metadataOnly || reach !== 'only')
    requireAllRead(ctx, machine, `delete '${snapshot.name}' of '${domain.name}'`);
  checkHolds(ctx, machine, snapshot, { reach });
  if (metadataOnly) return;
  const facts = { domain, snapshot, reach, snapshots, current, images };
  const external = deletesExternal(facts);
  const [users, daemonVersion, merges, stored] = await Promise.all([
    readImageUsers(ctx, machine),
    asksVersion(facts) ? readDaemonVersion(ctx.virsh) : null,
    external && !foreseen ? tightMerges(ctx, machine, snapshot) : [],
    lookAtStored(ctx, machine, strayVictims(facts)),
  ]);
  refuseOn(
    ctx,
    refusalOf(machine, snapshot),
    judge(DELETE_RULES, { ...facts, users, daemonVersion, merges, stored }),
    false,
  );
}

/** By snapshot, the images that libvirt will look into for it. */
async function lookAtStored(
  ctx: Context,
  machine: Machine,
  snapshots: readonly SnapshotReport[],
): Promise<ReadonlyMap<string, Images>> {
  const found = await Promise.all(
    snapshots.map(
      async (snapshot) => [snapshot.name, await lookAtStoredDisks(ctx, machine, snapshot)] as const,
    ),
  );
  return new Map(found);
}

/** Throws when it, or another that would go with it, is on hold. */
export function checkHolds(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  { reach }: Pick<DeleteRequest, 'reach'>,
): void {
  const { domain, snapshots } = machine;
  refuseOn(
    ctx,
    refusalOf(machine, snapshot),
    judge(HOLD_RULES, { domain, snapshot, reach, snapshots }),
    false,
  );
}

const refusalOf = ({ domain }: Machine, { name }: SnapshotReport): string =>
  `cannot delete '${name}' of '${domain.name}'`;

/** The merges of a snapshot's overlays that might not fit. */
async function tightMerges(ctx: Context, machine: Machine, snapshot: SnapshotReport): Promise<Merge[]> {
  const merges: Merge[] = [];
  for (const { target, source, base, freeBytes } of await narrowPlaces(ctx, machine, snapshot)) {
    const { measureOverlays } = await import('../space/overlays.ts');
    const cost = await measureOverlays(ctx, machine.images.get(target), [source]);
    if (cost.kind === 'unmeasured' || cost.approximate) continue;
    const growthBytes = cost.holds.hostBytes - cost.frees.hostBytes;
    merges.push({ target, base, growthBytes, freeBytes });
  }
  return merges;
}

/** A merge for which there is less room than its base could ever take. */
interface NarrowPlace {
  readonly target: string;
  readonly source: string;
  readonly base: string;
  readonly freeBytes: number;
}

/** An image grows by its disk's size at the most; `merges`: so many times, this one and those before it. */
export async function narrowPlaces(
  ctx: Context,
  { images }: Pick<Machine, 'images'>,
  snapshot: SnapshotReport,
  merges = 1,
): Promise<NarrowPlace[]> {
  const narrow: NarrowPlace[] = [];
  for (const { target, source } of externalDisks(snapshot)) {
    const image = images.get(target);
    const chain = chainOf(image);
    const base = chain[chain.findIndex(({ path }) => path === source) + 1];
    const free = base && source !== null && base !== chain[0] ? await freeBytes(base.path, ctx) : null;
    if (!base || source === null || free === null || free >= base.virtualBytes * merges) continue;
    narrow.push({ target, source, base: base.path, freeBytes: free });
  }
  return narrow;
}

/**
 * Deletes one snapshot, with its children where wanted, and looks: gone from libvirt and, unless only the metadata was
 * to go, from every disk.
 */
export async function deleteSnapshot(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: DeleteRequest,
  tell: TellLoss = () => undefined,
): Promise<DeleteDone> {
  return patiently(ctx, async (ctx, again) => {
    if (!again) return deleteNow(ctx, machine, snapshot, request, tell);
    const now = await afterWaiting(ctx, machine, snapshot.name, request);
    return deleteNow(ctx, now, findSnapshot(now, snapshot.name), request, tell);
  });
}

/** Told of what goes once nothing is against it, and before it goes. */
export type TellLoss = (ctx: Context, victims: readonly SnapshotReport[]) => void;

/** The machine as it is now, after a wait. Throws `check` when what is named would take more with it than before. */
async function afterWaiting(
  ctx: Context,
  before: Machine,
  name: string,
  { reach }: DeleteRequest,
): Promise<Machine> {
  const now = await readAgain(ctx, before.domain);
  const victims = ({ snapshots }: Machine) =>
    snapshots
      .filter((each) => each.name === name)
      .flatMap((named) => doomed(snapshots, named, reach))
      .map(({ name, createdAtSeconds }) => `'${name}' of ${localTime(createdAtSeconds)} would be deleted`);
  requireNothingNew(victims(before), victims(now));
  return now;
}

async function deleteNow(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: DeleteRequest,
  tell: TellLoss,
): Promise<DeleteDone> {
  const victims = doomed(machine.snapshots, snapshot, request.reach);
  await checkDeletable(ctx, machine, snapshot, request);
  tell(ctx, victims);
  const withMemory = request.metadataOnly
    ? []
    : victims.filter(({ memory }) => memory.location === 'internal');
  const space = withMemory.length > 0 ? await import('../space/leftover-memory.ts') : null;
  const before = await space?.readLeftovers(machine.images);
  const merged = request.metadataOnly ? [] : externalDisks(snapshot).map(({ target }) => target);
  return ctx.interrupts.protect(
    `the deletion of '${snapshot.name}' of '${machine.domain.name}'`,
    async () => {
      const end = await carryOut(ctx, {
        command: deleteCommand(machine, snapshot, request),
        label: `deleting '${snapshot.name}' of '${machine.domain.name}'`,
        growing: null,
        ...(merged.length > 0 ? { progress: () => readMerged(ctx.virsh, machine.domain.uuid, merged) } : {}),
      });
      const done = await verify(ctx, machine, { snapshot, victims, request, end });
      const names = withMemory.map(({ name }) => name);
      if (before) await space?.noteKeptMemory(ctx, done.machine, names, before);
      return done;
    },
  );
}

/** A deletion that virsh has come back from. */
interface Deletion {
  readonly snapshot: SnapshotReport;
  readonly victims: readonly SnapshotReport[];
  readonly request: DeleteRequest;
  readonly end: WriteEnd;
}

/** Looks whether what was to go is gone, and clears away the files of external ones. */
async function verify(ctx: Context, before: Machine, deletion: Deletion): Promise<DeleteDone> {
  const { victims, request, end } = deletion;
  const { after, orphaned } = await lookAgainWhile(
    ctx,
    (seen) => seen.orphaned.length > 0,
    async () => {
      const after = await completeMachine(ctx, await readAfter(ctx, before.domain.uuid, end));
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
  const forgotten = lostCurrent(ctx, after, heir(before, victims));
  const odd = aftermath(ctx, after.domain, before.domain.state);
  const failure = failureOf(after, deletion, orphaned, odd.length > 0);
  if (failure) throw withAftermath(failure, [...odd, ...forgotten]);
  for (const { what, command } of forgotten) ctx.terminal.note(`warning: ${what}; this mends it: ${command}`);
  const found = victims.some(isExternal)
    ? await clearLeftovers(ctx, after, victims.flatMap(mentionedFiles), request.leftovers)
    : { leftovers: [], unremoved: [] };
  return { machine: after, gone: victims, ...found };
}

const isExternal = (snapshot: SnapshotReport): boolean => locationOf(snapshot) === 'external';

/** What is not as it should be after a deletion; null: all is. A merge starts a machine that is off, so its state counts. */
function failureOf(
  after: Machine,
  { snapshot, victims, request, end }: Deletion,
  orphaned: readonly Orphaned[],
  isOdd: boolean,
): KvmsnapError | null {
  const present = new Set([...after.snapshotNames, ...after.snapshots.map(({ name }) => name)]);
  const left = victims.filter(({ name }) => present.has(name));
  if (left.length > 0) return withAftermath(stillThere(after, left, end), halfGone(after, left));
  if (orphaned.length > 0) return leftInImages(orphaned);
  if (!victims.some(isExternal)) return null;
  const unmerged = request.metadataOnly ? [] : victims.flatMap((victim) => unmergedIn(after, victim));
  return unmerged.length > 0 || isOdd ? notWhole(snapshot, unmerged) : null;
}

/** The snapshot that libvirt makes the current one: the nearest above, of those that stay. */
function heir({ snapshots, current }: Machine, victims: readonly SnapshotReport[]): string | null {
  const going = new Set(victims.map(({ name }) => name));
  const parents = new Map(snapshots.map(({ name, parent }) => [name, parent]));
  let name = current;
  while (name !== null && going.has(name)) name = parents.get(name) ?? null;
  return name;
}

/** libvirtd deletes from disk to disk, and forgets the snapshot last. */
function halfGone(after: Machine, left: readonly SnapshotReport[]): Finding[] {
  return left.flatMap((snapshot) => {
    const targets = internalDisks(snapshot)
      .filter((disk) => tagsOf(snapshot, disk, after.images)?.length === 0)
      .map(({ target }) => target);
    if (targets.length === 0) return [];
    const what = `'${snapshot.name}' is no longer in disk ${targets.join(', ')}`;
    return [{ what, hint: 'run the same delete again' }];
  });
}

function stillThere(machine: Machine, left: readonly SnapshotReport[], end: WriteEnd): KvmsnapError {
  const names = left.map(({ name }) => `'${name}'`).join(', ');
  const what = `the snapshot ${names} of '${machine.domain.name}' was not deleted`;
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
  { images }: Machine,
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

/** The overlays of a deleted external snapshot that the machine still lies on. */
function unmergedIn(after: Machine, victim: SnapshotReport): string[] {
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
      : `libvirt has forgotten '${name}', but the machine still lies on ${unmerged.join(', ')}`,
  );

function leftInImages(orphaned: readonly Orphaned[]): KvmsnapError {
  const commands = orphaned.map(({ name, path }) => deleteTagLine(name, path));
  const what = orphaned.map(({ name, target }) => `'${name}' in disk ${target}`).join(', ');
  return new KvmsnapError('refused', `libvirt has forgotten them, but still in the images: ${what}`, {
    hint: `with the machine off: ${commands.join(' && ')}`,
    command: commands[0],
  });
}
