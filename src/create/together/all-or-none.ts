import { openDeletions } from '../../delete/series.ts';
import { KvmsnapError } from '../../errors.ts';
import { type DomainReading, readByUuid } from '../../libvirt/domains.ts';
import { allInText, inText } from '../../model/text.ts';
import type { Context } from '../../run/context.ts';
import { findSnapshot, type Vm } from '../../vm/load.ts';
import type { SnapshotRequest } from '../request.ts';
import { takeSnapshot } from '../take.ts';

/** Snapshots of several VMs under one name: of all of them, or of none. */

/** A VM with its new snapshot. */
export interface TakenOf {
  readonly vm: Vm;
  readonly name: string;
}

/** How a deletion of one snapshot is requested. */
const ONLY = { scope: 'only', metadataOnly: false, removeUnused: false } as const;

/** Checks each VM, and returns the commands that would take the snapshots. Throws what prevents one of them. */
export async function planAll(
  ctx: Context,
  readings: readonly DomainReading[],
  request: SnapshotRequest,
): Promise<string[]> {
  const dry = { ...ctx, settings: { ...ctx.settings, dryRun: true } };
  const lines: string[] = [];
  for (const reading of readings) {
    const ended = await takeSnapshot(dry, reading, request);
    if (!('planned' in ended)) throw new Error('a dry run has taken a snapshot');
    const { command } = ended.planned;
    lines.push(typeof command === 'string' ? command : ctx.virsh.line(command));
  }
  return lines;
}

/**
 * Takes a snapshot of each VM, one after the other; checks all before the first. If one fails, those taken before are deleted again,
 * and the failure is thrown. `instead`: what was not done then, in words.
 */
export async function takeAll(
  ctx: Context,
  readings: readonly DomainReading[],
  request: SnapshotRequest,
  instead: string,
): Promise<TakenOf[]> {
  const [first, ...others] = readings;
  // what it warns of is said when the snapshot is taken
  const silent = { ...ctx, terminal: { ...ctx.terminal, note: () => {} } };
  if (others.length > 0) await planAll(silent, readings, request);
  const taken: TakenOf[] = [];
  for (const before of readings) {
    try {
      const { uuid, name } = before.domain;
      const reading = before === first ? before : await readByUuid(ctx.virsh, uuid, name);
      const ended = await takeSnapshot(ctx, reading, request);
      if (!('done' in ended)) throw new Error('a snapshot was only planned');
      taken.push({ vm: ended.done.vm, name: ended.done.name });
      if (ctx.interrupts.pending) throw ctx.interrupts.pending;
    } catch (error) {
      if (taken.length === 0 || !(error instanceof KvmsnapError)) throw error;
      throw error.prefixed(`${[instead, ...(await removeAgain(ctx, taken))].join('; ')}; `);
    }
  }
  return taken;
}

/** Deletes snapshots of one name that were just taken; returns what became of them, a sentence each. */
export async function removeAgain(ctx: Context, taken: readonly TakenOf[]): Promise<string[]> {
  const left: string[] = [];
  for (const { vm, name } of taken) {
    // a signal ends the run, and not what sets it right
    const deleted = !ctx.interrupts.pending && (await deleteOne(ctx, vm, name).catch(onlyOurs));
    if (deleted !== true) left.push(vm.domain.name);
  }
  const gone = taken.map(({ vm }) => vm.domain.name).filter((vm) => !left.includes(vm));
  const name = inText(taken[0]?.name ?? '');
  return [
    ...(gone.length === 0 ? [] : [`the snapshot ${name} of ${allInText(gone)} was deleted again`]),
    ...(left.length === 0 ? [] : [`the snapshot ${name} of ${allInText(left)} still exists`]),
  ];
}

const onlyOurs = (error: unknown): false => {
  if (error instanceof KvmsnapError) return false;
  throw error;
};

/** Deletes one snapshot of a VM as it was just read, and verifies it. Throws what failed. */
export async function deleteOne(ctx: Context, vm: Vm, name: string): Promise<true> {
  findSnapshot(vm, name);
  const deletions = openDeletions(vm, ONLY);
  await deletions.delete(ctx, name);
  const failure = (await deletions.prove(ctx)).get(name);
  if (failure) throw failure;
  return true;
}
