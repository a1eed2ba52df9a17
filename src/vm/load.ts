import type { Context } from '../run/context.ts';
import { isSaving, takesPart } from '../model/domain.ts';
import type { DiskImage, Images } from '../model/image.ts';
import { namedFiles } from '../model/domain-files.ts';
import { nearest } from '../model/names.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { reportSnapshots, type SnapshotReport, tagsOf } from '../model/report.ts';
import { callAlike } from './same-files.ts';
import { internalDisks, type Snapshot } from '../model/snapshot.ts';
import { combineFailures, KvmsnapError } from '../errors.ts';
import { type MachineName, type MachineReading, readByUuid, readMachine } from '../libvirt/domains.ts';
import { dumpCommand, readSnapshots, type SnapshotsRead, type UnreadSnapshot } from '../libvirt/snapshots.ts';
import { isRemote, lookAtDisks } from './disks.ts';
import { identifyFiles } from './file-identity.ts';
import { lookAgainWhile } from './recheck.ts';

/** A machine as libvirt and its disks together tell it. */
export interface Machine extends MachineReading {
  readonly snapshots: readonly SnapshotReport[];
  /** Snapshots that libvirt lists and does not tell of. */
  readonly unread: readonly UnreadSnapshot[];
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
}

/** Reads one machine, all its snapshots and its disks: two virsh processes, and one qemu-img per disk beside them. */
export async function openMachine(ctx: Context, word: string): Promise<Machine> {
  return completeMachine(ctx, await readMachine(ctx.virsh, word));
}

/** The rest of what `openMachine` reads, for a machine that was read already; of its snapshots only those named. */
export async function completeMachine(
  ctx: Context,
  reading: MachineReading,
  names: readonly string[] = reading.snapshotNames,
): Promise<Machine> {
  return assembleMachine(ctx, reading, readSnapshots(ctx.virsh, { ...reading.domain, names }));
}

/** Reads a machine anew, as it is now; what looks damaged is looked at again before it is called so. */
export function readAgain(ctx: Context, { uuid, name }: MachineName): Promise<Machine> {
  return lookAgainWhile(ctx, isDrifting, async () =>
    completeMachine(ctx, await readByUuid(ctx.virsh, uuid, name)),
  );
}

/** A finished snapshot is not in all of its disks, or an image is no image. */
export function isDrifting({ snapshots, images }: Machine): boolean {
  const isLacking = (snapshot: SnapshotReport) =>
    !snapshot.underWay &&
    internalDisks(snapshot).some((disk) => tagsOf(snapshot, disk, images)?.length === 0);
  const isUnreadable = (image: DiskImage) => image.kind === 'broken' && image.why === 'unreadable';
  return snapshots.some(isLacking) || [...images.values()].some(isUnreadable);
}

/** A machine whose snapshots were read beside those of others: its disks are looked at. */
export async function assembleMachine(
  ctx: Context,
  reading: MachineReading,
  found: SnapshotsRead | Promise<SnapshotsRead>,
): Promise<Machine> {
  const [images, { snapshots: stored, unread }] = await Promise.all([
    lookAtDisks(ctx, reading.uri, reading.domain.disks.filter(takesPart)),
    found,
  ]);
  const snapshots = await callAsNow(reading, images, stored);
  return { ...reading, images, snapshots: reportOn(reading, snapshots, images), unread };
}

/** The same snapshots, with the files that the machine uses now under their names of now. */
export async function callAsNow<T extends Snapshot>(
  { uri, domain }: Pick<MachineReading, 'uri' | 'domain'>,
  images: Images,
  snapshots: readonly T[],
): Promise<T[]> {
  const now = [...namedFiles(domain, [], images)];
  const isNow = new Set(now);
  const others = [...namedFiles({ disks: [] }, snapshots, new Map())].filter((path) => !isNow.has(path));
  // most machines have never been moved, and nothing has to be asked
  if (isRemote(uri) || others.length === 0) return [...snapshots];
  return callAlike(snapshots, now, await identifyFiles([...now, ...others]));
}

/** Reports on snapshots of a machine; `images` null: by libvirt's word alone. */
export function reportOn(
  { domain, current }: MachineReading,
  snapshots: readonly Snapshot[],
  images: Images | null,
): SnapshotReport[] {
  return reportSnapshots(snapshots, { current, busy: domain.busy || isSaving(domain), images });
}

/** The failure of a report on the machine whose snapshots are not all readable; null when they are. */
export function unreadFailure({
  domain,
  snapshots,
  unread,
}: Pick<Machine, 'domain' | 'snapshots' | 'unread'>): KvmsnapError | null {
  if (unread.length === 0) return null;
  const total = snapshots.length + unread.length;
  return combineFailures(
    unread.map(({ failure }) => failure),
    snapshots.length,
    `${unread.length} of ${total} snapshots of '${domain.name}' cannot be read: ${unread[0]?.failure.message}`,
  );
}

/**
 * Throws when libvirt does not tell of all snapshots of the machine: what an unknown one needs, nobody can say. `what` is
 * what cannot be done, such as `delete 's1' of 'web'`.
 */
export function requireAllRead(
  { virsh }: Context,
  { domain, unread }: Pick<Machine, 'domain' | 'unread'>,
  what: string,
): void {
  const [first] = unread;
  if (!first) return;
  const { code, message } = first.failure;
  throw new KvmsnapError(code, `cannot ${what}: not all snapshots of the VM can be read: ${message}`, {
    hint: 'what this snapshot needs is not known, and could be lost; this shows the error of libvirt',
    command: virsh.line(dumpCommand(domain.uuid, first.name)),
  });
}

/** The snapshot of that name. Throws `not-found` with the nearest one, or why libvirt does not tell of it. */
export function findSnapshot(machine: Machine, name: string): SnapshotReport {
  const found = machine.snapshots.find((snapshot) => snapshot.name === name);
  if (found) return found;
  const unread = machine.unread.find((snapshot) => snapshot.name === name);
  if (unread) throw unread.failure;
  throw noSuchSnapshot(machine, name);
}

/** The `not-found` of a name, with the nearest one. */
export function noSuchSnapshot({ domain, snapshotNames }: MachineReading, name: string): KvmsnapError {
  const meant = nearest(name, snapshotNames);
  return new KvmsnapError('not-found', `the machine '${domain.name}' has no snapshot '${name}'`, {
    hint:
      meant !== null
        ? `did you mean '${meant}'?`
        : snapshotNames.length === 0
          ? 'it has no snapshots'
          : `${kvmsnapLine('list', [domain.name])} shows those that it has`,
  });
}

/** Why a snapshot that libvirt is still writing is left alone. */
export const stillBeingTaken = ({ domain }: MachineReading, { name }: Snapshot): KvmsnapError =>
  new KvmsnapError('busy', `the snapshot '${name}' of '${domain.name}' is still being taken`, {
    hint: 'wait until kvmsnap list shows it complete',
  });

/** The current snapshot. Throws `not-found` when there is none. */
export function currentSnapshot(machine: Machine): SnapshotReport {
  if (machine.current === null) throw noCurrent(machine);
  return findSnapshot(machine, machine.current);
}

/** The `not-found` of a machine without a current snapshot. */
export function noCurrent({ domain }: MachineReading): KvmsnapError {
  return new KvmsnapError('not-found', `the machine '${domain.name}' has no current snapshot`);
}
