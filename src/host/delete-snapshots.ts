import type { Context } from '../context.ts';
import type { Finding } from '../core/preflight.ts';
import { kvmsnapLine, quote } from '../core/quote.ts';
import { type SnapshotReport, tagsOf } from '../core/report.ts';
import { internalDisks } from '../core/snapshot.ts';
import { descendants } from '../core/tree.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { readByUuid } from '../libvirt/machine.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import {
  aftermath,
  carryOut,
  lostCurrent,
  patiently,
  readAfter,
  type WriteEnd,
  withAftermath,
} from './act.ts';
import { completeMachine, findSnapshot, type Machine } from './machine.ts';

/** Which snapshots go beside the named one. */
export type Reach = 'only' | 'children' | 'children-only';

export interface DeleteRequest {
  readonly reach: Reach;
  /** Only libvirt's knowledge goes; what is in the images stays. */
  readonly metadataOnly: boolean;
}

/** The snapshots that a delete of this one takes with it, by what libvirt knows now. */
export function doomed(machine: Machine, snapshot: SnapshotReport, reach: Reach): SnapshotReport[] {
  if (reach === 'only') return [snapshot];
  const below = new Set(descendants(machine.snapshots, snapshot.name).map(({ name }) => name));
  return machine.snapshots.filter(
    ({ name }) => below.has(name) || (reach === 'children' && name === snapshot.name),
  );
}

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

/** Throws when deleting this would be half done: it is still being written, or an image cannot let go of it. */
export function checkDeletable(
  machine: Machine,
  victims: readonly SnapshotReport[],
  { metadataOnly }: DeleteRequest,
): void {
  for (const victim of victims) {
    if (victim.underWay) {
      throw new KvmsnapError(
        'busy',
        `the snapshot '${victim.name}' of '${machine.domain.name}' is still being taken`,
        {
          hint: 'wait until kvmsnap list shows it complete',
        },
      );
    }
    if (metadataOnly) continue;
    for (const disk of internalDisks(victim)) {
      checkReachable(machine, victim, disk.target);
      checkUnambiguous(machine, victim, disk);
    }
  }
}

/** virsh deletes the metadata all the same, exit 0, and the data stays in an image that cannot be opened. */
function checkReachable({ domain, images }: Machine, { name }: SnapshotReport, target: string): void {
  const image = images.get(target);
  if (image?.kind !== 'broken') return;
  const state = image.why === 'unreadable' ? `is not readable (${image.detail})` : 'is missing';
  const command = kvmsnapLine('delete', [domain.name, name], '--metadata');
  throw new KvmsnapError(
    'check',
    `disk ${target}: ${image.path} ${state}, so '${name}' cannot be deleted in it`,
    {
      hint: `restore the file; or, if it will not come back, have libvirt alone forget the snapshot: ${command}`,
      command,
    },
  );
}

function checkUnambiguous(
  machine: Machine,
  { name }: SnapshotReport,
  disk: { target: string; source: string | null },
): void {
  const found = tagsOf({ name }, disk, machine.images);
  if (found === null || found.length < 2) return;
  const command = `qemu-img snapshot -d ${quote(name)} ${quote(disk.source ?? '')}`;
  throw new KvmsnapError(
    'check',
    `disk ${disk.target} holds ${found.length} snapshots called '${name}', and libvirt would delete the older one only`,
    { hint: `with the machine off, delete the older one first: ${command}`, command },
  );
}

/**
 * Deletes one snapshot, with its children where wanted, and looks: gone from libvirt and, unless only the metadata was
 * to go, from every disk. Returns the machine afterwards and what went.
 */
export async function deleteSnapshot(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: DeleteRequest,
): Promise<{ machine: Machine; gone: readonly SnapshotReport[] }> {
  const meant = new Set(doomed(machine, snapshot, request.reach).map(({ name }) => name));
  return patiently(ctx, async (ctx, again) => {
    if (!again) return deleteNow(ctx, machine, snapshot, request);
    const now = await completeMachine(
      ctx,
      await readByUuid(ctx.virsh, machine.domain.uuid, machine.domain.name),
    );
    const same = findSnapshot(now, snapshot.name);
    const late = doomed(now, same, request.reach).find(({ name }) => !meant.has(name));
    if (late) throw cameMeanwhile(late, now);
    return deleteNow(ctx, now, same, request);
  });
}

/** Nobody has consented to lose what was taken while we waited. */
const cameMeanwhile = ({ name }: SnapshotReport, { domain }: Machine): KvmsnapError =>
  new KvmsnapError(
    'check',
    `while '${domain.name}' was busy, '${name}' came among those to delete; nothing was deleted`,
    { hint: 'run the same delete again to delete that too' },
  );

async function deleteNow(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: DeleteRequest,
): Promise<{ machine: Machine; gone: readonly SnapshotReport[] }> {
  const victims = doomed(machine, snapshot, request.reach);
  checkDeletable(machine, victims, request);
  return ctx.interrupts.protect(
    `the deletion of '${snapshot.name}' of '${machine.domain.name}'`,
    async () => {
      const end = await carryOut(ctx, {
        command: deleteCommand(machine, snapshot, request),
        label: `deleting '${snapshot.name}' of '${machine.domain.name}'`,
        growing: null,
      });
      const after = await completeMachine(ctx, await readAfter(ctx, machine.domain.uuid, end));
      const present = new Set([...after.snapshotNames, ...after.snapshots.map(({ name }) => name)]);
      const left = victims.filter(({ name }) => present.has(name));
      const orphaned = request.metadataOnly ? [] : victims.flatMap((victim) => orphanedIn(after, victim));
      const forgotten = lostCurrent(ctx, after, heir(machine, victims));
      const around = [...aftermath(ctx, after.domain, machine.domain.state), ...forgotten];
      const failure =
        left.length > 0
          ? withAftermath(stillThere(machine, left, end), halfGone(after, left))
          : orphaned.length > 0
            ? leftInImages(orphaned)
            : null;
      if (failure) throw withAftermath(failure, around);
      for (const { what, command } of forgotten)
        ctx.terminal.note(`warning: ${what}; this mends it: ${command}`);
      return { machine: after, gone: victims };
    },
  );
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

function orphanedIn(after: Machine, victim: SnapshotReport): Orphaned[] {
  return internalDisks(victim).flatMap((disk) =>
    (tagsOf(victim, disk, after.images)?.length ?? 0) > 0
      ? [{ name: victim.name, target: disk.target, path: disk.source ?? '' }]
      : [],
  );
}

function leftInImages(orphaned: readonly Orphaned[]): KvmsnapError {
  const commands = orphaned.map(({ name, path }) => `qemu-img snapshot -d ${quote(name)} ${quote(path)}`);
  const what = orphaned.map(({ name, target }) => `'${name}' in disk ${target}`).join(', ');
  return new KvmsnapError('refused', `libvirt has forgotten them, but still in the images: ${what}`, {
    hint: `with the machine off: ${commands.join(' && ')}`,
    command: commands[0],
  });
}
