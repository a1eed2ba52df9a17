import type { Context } from '../context.ts';
import { isSaving, takesPart } from '../core/domain.ts';
import type { DiskImage, Images } from '../core/image.ts';
import { nearest } from '../core/names.ts';
import { kvmsnapLine } from '../core/quote.ts';
import { reportSnapshots, type SnapshotReport, tagsOf } from '../core/report.ts';
import { internalDisks, type Snapshot } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import { type MachineName, type MachineReading, readByUuid, readMachine } from '../libvirt/machine.ts';
import { readSnapshots } from '../libvirt/snapshots.ts';
import { lookAtDisks } from './disks.ts';
import { lookAgainWhile } from './look-again.ts';

/** A machine as libvirt and its disks together tell it. */
export interface Machine extends MachineReading {
  readonly snapshots: readonly SnapshotReport[];
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
  return assembleMachine(ctx, reading, readSnapshots(ctx.virsh, reading.domain.uuid, names));
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
  found: readonly Snapshot[] | Promise<readonly Snapshot[]>,
): Promise<Machine> {
  const [images, snapshots] = await Promise.all([
    lookAtDisks(ctx, reading.uri, reading.domain.disks.filter(takesPart)),
    found,
  ]);
  return { ...reading, images, snapshots: reportOn(reading, snapshots, images) };
}

/** Reports on snapshots of a machine; `images` null: by libvirt's word alone. */
export function reportOn(
  { domain, current }: MachineReading,
  snapshots: readonly Snapshot[],
  images: Images | null,
): SnapshotReport[] {
  return reportSnapshots(snapshots, { current, busy: domain.busy || isSaving(domain), images });
}

/** The snapshot of that name. Throws `not-found` with the nearest one. */
export function findSnapshot(machine: Machine, name: string): SnapshotReport {
  const found = machine.snapshots.find((snapshot) => snapshot.name === name);
  if (found) return found;
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
