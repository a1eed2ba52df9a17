import { combineFailures, KvmsnapError, lineWith } from '../errors.ts';
import type { RunRecord } from '../host/run-files.ts';
import { type DomainReading, readByUuid, readDomain } from '../libvirt/domains.ts';
import type { DomainName } from '../libvirt/resolve.ts';
import { dumpCommand, readSnapshots, type SnapshotsRead, type UnreadSnapshot } from '../libvirt/snapshots.ts';
import { isSaving, takesPart } from '../model/domain.ts';
import { namedFiles } from '../model/domain-files.ts';
import type { DiskImage, Images } from '../model/image.ts';
import { nearest } from '../model/names.ts';
import type { Reading } from '../model/reader.ts';
import { reportSnapshots, type SnapshotReport, tagsOf } from '../model/report.ts';
import { internalDisks, type Snapshot } from '../model/snapshot.ts';
import { inText, someInText } from '../model/text.ts';
import type { Context, VmReader } from '../run/context.ts';
import { isRemote, readImages } from './disks.ts';
import { callAlike, identifyFiles } from './file-identity.ts';
import { lookForMovedFiles } from './find-moved-files.ts';
import { readAgainWhile } from './read-again.ts';

/** A VM with what libvirt and its disks tell about it. */
export interface Vm extends DomainReading {
  readonly snapshots: readonly SnapshotReport[];
  /** Snapshots that libvirt lists but does not describe. */
  readonly unread: readonly UnreadSnapshot[];
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
}

/** Reads one VM, all its snapshots and its disks: two virsh processes, and one qemu-img per disk beside them. */
export async function loadVm(ctx: VmReader, word: string): Promise<Vm> {
  return completeVm(ctx, await readDomain(ctx.virsh, word));
}

/** Completes a VM whose definition was read before, with those of its snapshots that are named. */
export async function completeVm(
  ctx: VmReader,
  reading: DomainReading,
  names: readonly string[] = reading.snapshotNames,
): Promise<Vm> {
  return assembleVm(ctx, reading, readSnapshots(ctx.virsh, { ...reading.domain, names }));
}

/** Reads a VM again in its present state. What looks damaged is read once more before it is reported. */
export function readAgain(ctx: Context, { uuid, name }: DomainName): Promise<Vm> {
  return readAgainWhile(ctx, isDrifting, async () =>
    completeVm(ctx, await readByUuid(ctx.virsh, uuid, name)),
  );
}

/** Whether a complete snapshot is missing from a disk, or an image cannot be read. */
export function isDrifting({ snapshots, images }: Vm): boolean {
  const isLacking = (snapshot: SnapshotReport) =>
    !snapshot.underWay &&
    internalDisks(snapshot).some((disk) => tagsOf(snapshot, disk, images)?.length === 0);
  const isUnreadable = (image: DiskImage) => image.kind === 'broken' && image.why === 'unreadable';
  return snapshots.some(isLacking) || [...images.values()].some(isUnreadable);
}

/** Inspects the disks of a VM whose snapshots were read together with those of others. */
export async function assembleVm(
  ctx: VmReader,
  reading: DomainReading,
  found: SnapshotsRead | Promise<SnapshotsRead>,
  looking: Images | Promise<Images> = readImages(ctx, reading.uri, reading.domain.disks.filter(takesPart)),
): Promise<Vm> {
  const [images, { snapshots: stored, unread }, readings] = await Promise.all([
    looking,
    found,
    readingsOf(ctx, reading.domain),
  ]);
  const called = await callAsNow(ctx, reading, images, stored);
  const moved = await lookForMovedFiles(ctx, { ...reading, images, snapshots: called });
  const snapshots = called.map((each) => ({ ...each, movedFiles: moved.get(each.name) }));
  return { ...reading, images, snapshots: reportOn(reading, snapshots, images, readings), unread };
}

/** The same snapshots, with the present paths of files that the VM uses now. */
export async function callAsNow<T extends Snapshot>(
  { files }: Pick<Context, 'files'>,
  { uri, domain }: Pick<DomainReading, 'uri' | 'domain'>,
  images: Images,
  snapshots: readonly T[],
): Promise<T[]> {
  const now = [...namedFiles(domain, [], images)];
  const isNow = new Set(now);
  const others = [...namedFiles({ disks: [] }, snapshots, new Map())].filter((path) => !isNow.has(path));
  // the files of most VMs have never been moved; then nothing has to be read
  if (isRemote(uri) || others.length === 0) return [...snapshots];
  return callAlike(snapshots, now, await identifyFiles(files, [...now, ...others]));
}

/** The runs of kvmsnap that read snapshots of a VM now. */
export async function readingsOf(
  { runFiles }: Pick<Context, 'runFiles'>,
  { uuid }: Pick<DomainName, 'uuid'>,
): Promise<Reading[]> {
  return readingsAmong(await runFiles.list(), uuid);
}

/** The same, of all runs. */
export const readingsAmong = (runs: readonly RunRecord[], uuid: string): Reading[] =>
  runs.filter(({ vmUuid }) => vmUuid === uuid).map(({ owner, ...run }) => ({ ...run, processId: owner.id }));

/** Reports on snapshots of a VM; `images` null: from libvirt's information only. */
export function reportOn(
  { domain, current }: DomainReading,
  snapshots: readonly Snapshot[],
  images: Images | null,
  readings: readonly Reading[] = [],
): SnapshotReport[] {
  return reportSnapshots(snapshots, { current, busy: domain.busy || isSaving(domain), images, readings });
}

/** The failure to report for a VM with unreadable snapshots; null if all are readable. */
export function unreadFailure({
  domain,
  snapshots,
  unread,
}: Pick<Vm, 'domain' | 'snapshots' | 'unread'>): KvmsnapError | null {
  if (unread.length === 0) return null;
  const total = snapshots.length + unread.length;
  return combineFailures(
    unread.map(({ failure }) => failure),
    snapshots.length,
    `${unread.length} of ${total} snapshots of ${inText(domain.name)} cannot be read: ${unread[0]?.failure.message}`,
  );
}

/**
 * Throws if a snapshot of the VM cannot be read, because it is unknown which files that snapshot needs. `what` is what
 * cannot be done, such as `delete 's1' of 'web'`.
 */
export function requireAllRead(
  { virsh }: Pick<Context, 'virsh'>,
  { domain, unread }: Pick<Vm, 'domain' | 'unread'>,
  what: string,
): void {
  const [first] = unread;
  if (!first) return;
  const { code, message } = first.failure;
  throw new KvmsnapError(code, `cannot ${what}: not all snapshots of the VM can be read: ${message}`, {
    hint: 'the files that this snapshot needs are unknown and could be lost; this command shows the error of libvirt',
    command: virsh.line(dumpCommand(domain.uuid, first.name)),
  });
}

/** The snapshot of that name. Throws `not-found` with the most similar name, or the reason why it cannot be read. */
export function findSnapshot(vm: Vm, name: string): SnapshotReport {
  const found = vm.snapshots.find((snapshot) => snapshot.name === name);
  if (found) return found;
  const unread = vm.unread.find((snapshot) => snapshot.name === name);
  if (unread) throw unread.failure;
  throw noSuchSnapshot(vm, name);
}

/** The `not-found` failure for a name, with the most similar name. */
export function noSuchSnapshot({ domain, snapshotNames }: DomainReading, name: string): KvmsnapError {
  const meant = nearest(name, snapshotNames);
  return new KvmsnapError('not-found', `the VM ${inText(domain.name)} has no snapshot ${inText(name)}`, {
    hint:
      meant !== null
        ? `did you mean ${inText(meant)}?`
        : snapshotNames.length === 0
          ? 'it has no snapshots'
          : `it has ${someInText(snapshotNames)}`,
    meant: meant === null ? undefined : lineWith({ kind: 'snapshot', word: name, by: meant }),
  });
}

/** The failure for a snapshot that libvirt is still writing. */
export const stillBeingTaken = ({ domain }: DomainReading, { name }: Snapshot): KvmsnapError =>
  new KvmsnapError('busy', `the snapshot ${inText(name)} of ${inText(domain.name)} is still being taken`, {
    hint: 'wait until it is complete',
  });

/** The current snapshot. Throws `not-found` when there is none. */
export function currentSnapshot(vm: Vm): SnapshotReport {
  if (vm.current === null) throw noCurrent(vm);
  return findSnapshot(vm, vm.current);
}

/** The `not-found` failure of a VM without a current snapshot. */
export function noCurrent({ domain }: DomainReading): KvmsnapError {
  return new KvmsnapError('not-found', `the VM ${inText(domain.name)} has no current snapshot`);
}
