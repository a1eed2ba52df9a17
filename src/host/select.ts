import type { Context } from '../context.ts';
import { nearest } from '../core/names.ts';
import { isOneName, type Selection, selectMachines } from '../core/selection.ts';
import { KvmsnapError } from '../errors.ts';
import {
  listMachines,
  type MachineName,
  type MachineReading,
  readMachine,
  readMachines,
} from '../libvirt/machine.ts';

/** A machine of a selection: as it was read, or why it could not be. */
export interface Target {
  readonly machine: MachineName;
  readonly reading: MachineReading | KvmsnapError;
}

/**
 * Reads the machines that a command line means: one by its name, or many by patterns, in two processes for any number.
 * Throws `not-found` when a word means nothing, or all of them together nothing: never a silent success.
 */
export async function readSelection(ctx: Context, selection: Selection): Promise<Target[]> {
  const [word] = selection.words;
  if (
    isOneName(selection) &&
    selection.states.length === 0 &&
    selection.exclude.length === 0 &&
    word !== undefined
  ) {
    const reading = await readMachine(ctx.virsh, word);
    return [{ machine: reading.domain, reading }];
  }
  const known = await listMachines(ctx.virsh);
  const chosen = selectMachines(known, selection);
  const [unmatched] = chosen.unmatched;
  if (unmatched !== undefined) throw noSuchMachine(unmatched, known);
  const readings = await readMachines(ctx.virsh, chosen.machines);
  const targets = chosen.machines
    .map((machine, i) => ({ machine, reading: readings[i] as MachineReading | KvmsnapError }))
    .filter(({ reading }) => reading instanceof KvmsnapError || isInState(reading, selection.states));
  if (targets.length === 0) throw new KvmsnapError('not-found', 'no machine is left of what was selected');
  return targets;
}

const isInState = ({ domain }: MachineReading, states: readonly string[]): boolean =>
  states.length === 0 || states.includes(domain.state);

function noSuchMachine(word: string, known: readonly MachineName[]): KvmsnapError {
  const meant = nearest(
    word,
    known.map(({ name }) => name),
  );
  return new KvmsnapError('not-found', `no machine is called '${word}', or matches it`, {
    hint: meant === null ? 'kvmsnap list shows all machines' : `did you mean '${meant}'?`,
  });
}
