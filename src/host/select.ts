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
  if (targets.length === 0) throw nothingLeft();
  return { targets, single: single && named.size > 0 };
}

/** The machines of a selection in the order of their names, whatever their state; one process. Throws as `readSelection`. */
export async function chooseMachines(ctx: Context, selection: Selection) {
  const known = (await listMachines(ctx.virsh)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const chosen = selectMachines(known, selection);
  const [unmatched] = chosen.unmatched;
  if (unmatched !== undefined) throw noSuchMachine(unmatched, known);
  return chosen;
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

export const nothingLeft = (): KvmsnapError =>
  new KvmsnapError('not-found', 'no machine is left of what was selected');

function noSuchMachine(word: string, known: readonly MachineName[]): KvmsnapError {
  const meant = nearest(
    word,
    known.map(({ name }) => name),
  );
  return new KvmsnapError('not-found', `no machine is called '${word}', or matches it`, {
    hint: meant === null ? 'kvmsnap list shows all machines' : `did you mean '${meant}'?`,
  });
}
