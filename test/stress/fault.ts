// What may die, hang or run full in the middle of what kvmsnap does, as rows of data.
import { byteIn, tagNames } from '../commands/scene.ts';
import type { Machine } from '../lab/machine.ts';
import { currentSnapshot, snapshotNames } from '../lab/snapshot.ts';

export type Condition = 'running' | 'shut off';

/** The snapshots that are there before, oldest first; `mid` is the current one. */
export const BEFORE = ['old', 'mid'];

/** What the disks hold: in `old`, and ever since. */
export const [OLD, PRESENT] = [0x11, 0x22];

export interface Operation {
  readonly what: string;
  /** The command of virsh, which kvmsnap runs as well. */
  readonly command: string;
  readonly options: readonly string[];
  readonly kvmsnap: (machine: string) => readonly string[];
  /** What libvirtd has qemu-img do to each disk of a machine that is off. */
  readonly imageOption: string;
  /** Whether all of it is done, by virsh and by the images. */
  readonly isDone: (machine: Machine) => boolean;
}

/** Exactly these snapshots, in libvirt and in each disk. */
function holds(machine: Machine, names: readonly string[]): boolean {
  const same = (list: readonly string[]) => [...list].sort().join() === [...names].sort().join();
  return [snapshotNames(machine), ...tagNames(machine)].every(same);
}

const OPERATIONS: readonly Operation[] = [
  {
    what: 'create',
    command: 'snapshot-create-as',
    options: ['--name', 'new'],
    kvmsnap: (machine) => ['create-as', machine, 'new'],
    imageOption: '-c',
    isDone: (machine) => holds(machine, [...BEFORE, 'new']) && currentSnapshot(machine) === 'new',
  },
  {
    what: 'revert',
    command: 'snapshot-revert',
    options: ['--snapshotname', 'old'],
    kvmsnap: (machine) => ['revert', machine, 'old'],
    imageOption: '-a',
    isDone: (machine) =>
      holds(machine, BEFORE) &&
      currentSnapshot(machine) === 'old' &&
      machine.disks.every(({ path }) => byteIn(path) === OLD),
  },
  {
    what: 'delete',
    command: 'snapshot-delete',
    options: ['--snapshotname', 'mid'],
    kvmsnap: (machine) => ['delete', machine, 'mid'],
    imageOption: '-d',
    isDone: (machine) => holds(machine, ['old']),
  },
];

/** `full`: not a byte is left for it. */
export type Blow = 'killed' | 'stopped' | 'full';

/** `metadata` is libvirt's directory of what it knows of snapshots. */
export type Victim = 'libvirtd' | 'QEMU' | 'qemu-img' | 'virsh' | 'kvmsnap' | 'metadata';

interface Strike {
  readonly victim: Victim;
  readonly blow: Blow;
  readonly conditions: readonly Condition[];
  /** libvirtd, when it comes back, ends the guest at times and at times not: virsh alone is no measure. */
  readonly byChance?: true;
}

const STRIKES: readonly Strike[] = [
  { victim: 'libvirtd', blow: 'killed', conditions: ['running', 'shut off'], byChance: true },
  { victim: 'QEMU', blow: 'killed', conditions: ['running'] },
  { victim: 'qemu-img', blow: 'killed', conditions: ['shut off'] },
  { victim: 'virsh', blow: 'killed', conditions: ['running', 'shut off'] },
  { victim: 'kvmsnap', blow: 'killed', conditions: ['running', 'shut off'] },
  { victim: 'libvirtd', blow: 'stopped', conditions: ['running', 'shut off'] },
  { victim: 'QEMU', blow: 'stopped', conditions: ['running'] },
  { victim: 'metadata', blow: 'full', conditions: ['running', 'shut off'] },
];

export interface Fault extends Omit<Strike, 'conditions'> {
  readonly operation: Operation;
  readonly condition: Condition;
}

/** Every strike in the middle of every operation. */
export const FAULTS: readonly Fault[] = OPERATIONS.flatMap((operation) =>
  STRIKES.flatMap(({ conditions, ...strike }) =>
    conditions.map((condition) => ({ operation, condition, ...strike })),
  ),
);

/** `create, running: libvirtd killed` */
export const titleOf = ({ operation, condition, victim, blow }: Fault): string =>
  `${operation.what}, ${condition}: ${victim} ${blow}`;
