// Machines in the middle of a save: what interruptions, waiting and "busy" are tested on.
import { statSync } from 'node:fs';
import { FILLED, MARK_ADDRESS } from './boot.ts';
import { waitFor } from './lab.ts';
import { defineMachine, guestWord, type Machine, start, stopQemu } from './machine.ts';

const MiB = 1024 * 1024;

/** A running machine whose memory is full of what does not compress: saving it takes a while. */
export async function fullMachine(name: string, fillMiB = 128): Promise<Machine> {
  const machine = defineMachine({ name, memoryMiB: fillMiB + 32, boot: { fill: fillMiB }, disks: [{ size: '64M' }] });
  start(machine);
  await waitFor(() => guestWord(machine, MARK_ADDRESS) === FILLED, { what: 'a full memory' });
  return machine;
}

/** Bytes that the first image occupies. */
function occupied(machine: Machine): number {
  return statSync(machine.disks[0]?.path ?? '').blocks * 512;
}

/** Runs what begins to save the machine, and holds QEMU in the middle of it until `continueQemu`. */
export async function holdSave<T>(machine: Machine, begin: () => T): Promise<T> {
  const before = occupied(machine);
  const begun = begin();
  await waitFor(() => occupied(machine) > before + 8 * MiB, { what: 'a save', intervalMs: 1 });
  stopQemu(machine);
  return begun;
}

