import type { Context } from '../context.ts';
import { nearest } from '../core/names.ts';
import { isPattern, type Selection, selectMachines } from '../core/selection.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import {
  listMachines,
  type MachineName,
  type MachineReading,
  readMachine,
  readMachines,
} from '../libvirt/machine.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';

/** A machine of a selection: as it was read, or why it could not be. */
export interface Target {
  readonly machine: MachineName;
  readonly reading: MachineReading | KvmsnapError;
  /** By its own name or UUID, and not by a pattern that it happens to match. */
  readonly named: boolean;
}

export interface Targets {
  readonly targets: readonly Target[];
  /** One machine, called by its own name or UUID: that is consent, and its results need not say whose they are. */
  readonly single: boolean;
}

/**
 * Reads the machines that a command line means: one by its name, or many by patterns, in two processes for any number.
 * Throws `not-found` when a word means nothing, or all of them together nothing: never a silent success.
 */
export async function readSelection(ctx: Context, selection: Selection): Promise<Targets> {
  const { words, all, exclude, states } = selection;
  const [word = ''] = words;
  const single = !all && words.length === 1;
  if (single && !isPattern(word) && states.length === 0 && exclude.length === 0) {
    const reading = await readMachine(ctx.virsh, word);
    return { targets: [{ machine: reading.domain, reading, named: true }], single };
  }
  const { machines, named } = await chooseMachines(ctx, selection);
  const readings = await readMachines(ctx.virsh, machines);
  const targets = machines
    .map((machine, i) => ({
      machine,
      reading: readings[i] as MachineReading | KvmsnapError,
      named: named.has(machine),
    }))
    .filter(
      ({ reading }) =>
        reading instanceof KvmsnapError || states.length === 0 || states.includes(reading.domain.state),
    );
  if (targets.length === 0) throw nothingLeft(selection, machines.length);
  return { targets, single: single && named.size > 0 };
}

/** The machines of a selection in the order of their names, whatever their state; one process. Throws as `readSelection`. */
export async function chooseMachines(
  ctx: Context,
  selection: Selection,
): Promise<ReturnType<typeof selectMachines<MachineName>>> {
  const known = (await listMachines(ctx.virsh)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const chosen = selectMachines(known, selection);
  for (const word of chosen.idle) tellIdle(ctx, word, known, selection);
  const [unmatched] = chosen.unmatched;
  if (unmatched === undefined) return chosen;
  await readMachine(ctx.virsh, unmatched); // says why there is none; unless it has come meanwhile
  return chooseMachines(ctx, selection);
}

/** A job of every night may exclude a machine that has gone; where it is an error, it throws `not-found`. */
function tellIdle(
  ctx: Context,
  word: string,
  known: readonly MachineName[],
  { exacting = false }: Selection,
): void {
  const message = `--exclude '${word}' leaves out nothing: ${isPattern(word) ? 'no machine matches' : 'no machine is called so'}`;
  const names = known.map(({ name }) => name);
  const meant = isPattern(word) ? null : nearest(word, names);
  const hint = meant === null ? 'kvmsnap list shows all machines' : `did you mean '${meant}'?`;
  if (exacting) throw new KvmsnapError('not-found', message, { hint });
  ctx.terminal.note(`note: ${message}${meant === null ? '' : `; ${hint}`}`);
}

/** The snapshots of all machines that could be read, by UUID; one process per 100 KB of commands. */
export async function readAllSnapshots(
  ctx: Context,
  { targets }: Targets,
): Promise<ReadonlyMap<string, readonly Snapshot[]>> {
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  const snapshots = await readSnapshotsOf(
    ctx.virsh,
    readings.map(({ domain, snapshotNames }) => ({ uuid: domain.uuid, names: snapshotNames })),
  );
  return new Map(readings.map(({ domain }, i) => [domain.uuid, snapshots[i] ?? []]));
}

/** Why nothing is left of a selection; `chosen` counts the machines whose state was asked. */
export function nothingLeft({ exclude, states }: Selection, chosen: number): KvmsnapError {
  const why =
    chosen > 0
      ? `of ${chosen} selected, none is ${states.join(' or ')}`
      : exclude.length > 0
        ? 'all that were selected are excluded'
        : 'this connection has none';
  const hint =
    chosen + exclude.length > 0
      ? 'kvmsnap list shows all machines and their states'
      : 'the machines of the host are at --connect qemu:///system';
  return new KvmsnapError('not-found', `no machine is left: ${why}`, { hint });
}
