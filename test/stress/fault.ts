// What may die, hang or run full in the middle of what kvmsnap does, as rows of data.
import { join } from 'node:path';
import { scratch } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { byteIn, tagNames } from '../scene/steps.ts';
import type { Vm } from '../scene/vm.ts';

export type Condition = 'running' | 'shut off';

/** The snapshots that are there before, oldest first; `mid` is the current one. */
export const BEFORE = ['old', 'mid'];

/** What the disks hold: in `old`, and ever since. */
export const [OLD, PRESENT] = [0x11, 0x22];

/** Where the file of the memory goes, when it is to be one. */
export const MEMORY_DIRECTORY = join(scratch, 'memory');

export interface Operation {
  readonly what: string;
  /** The command of virsh, which kvmsnap runs as well. */
  readonly command: string;
  readonly options: readonly string[];
  readonly kvmsnap: (vm: string) => readonly string[];
  /** What libvirtd has qemu-img do to each disk of a VM that is off; null for what is done to a running one only. */
  readonly imageOption: string | null;
  /** Whether all of it is done, by virsh and by the images. */
  readonly isDone: (vm: Vm) => boolean;
}

/** Exactly these snapshots, in libvirt and in each disk. */
function holds(vm: Vm, names: readonly string[]): boolean {
  const same = (list: readonly string[]) => [...list].sort().join() === [...names].sort().join();
  return [snapshotNames(vm), ...tagNames(vm)].every(same);
}

const OPERATIONS: readonly Operation[] = [
  {
    what: 'create',
    command: 'snapshot-create-as',
    options: ['--name', 'new'],
    kvmsnap: (vm) => ['create-as', vm, 'new'],
    imageOption: '-c',
    isDone: (vm) => holds(vm, [...BEFORE, 'new']) && currentSnapshot(vm) === 'new',
  },
  {
    what: 'revert',
    command: 'snapshot-revert',
    options: ['--snapshotname', 'old'],
    kvmsnap: (vm) => ['revert', vm, 'old'],
    imageOption: '-a',
    isDone: (vm) =>
      holds(vm, BEFORE) &&
      currentSnapshot(vm) === 'old' &&
      vm.disks.every(({ path }) => byteIn(path) === OLD),
  },
  {
    what: 'delete',
    command: 'snapshot-delete',
    options: ['--snapshotname', 'mid'],
    kvmsnap: (vm) => ['delete', vm, 'mid'],
    imageOption: '-d',
    isDone: (vm) => holds(vm, ['old']),
  },
];

const MEMORY_FILE = join(MEMORY_DIRECTORY, 'new.mem');

const CREATE_EXTERNAL: Operation = {
  what: 'create with a memory file',
  command: 'snapshot-create-as',
  options: ['--name', 'new', '--memspec', MEMORY_FILE],
  kvmsnap: (vm) => ['create-as', vm, 'new', '--memspec', MEMORY_FILE, '--force'],
  imageOption: null,
  isDone: (vm) => snapshotNames(vm).includes('new'),
};

/** `full`: not a byte is left for it. */
export type Blow = 'killed' | 'stopped' | 'full';

/** `metadata` is libvirt's directory of what it knows of snapshots. */
export type Hit = 'libvirtd' | 'QEMU' | 'qemu-img' | 'virsh' | 'kvmsnap' | 'metadata' | 'memory file';

interface Interruption {
  readonly hit: Hit;
  readonly blow: Blow;
  readonly conditions: readonly Condition[];
  /** libvirtd, when it comes back, ends the guest at times and at times not: virsh alone is no measure. */
  readonly byChance?: true;
}

const INTERRUPTIONS: readonly Interruption[] = [
  { hit: 'libvirtd', blow: 'killed', conditions: ['running', 'shut off'], byChance: true },
  { hit: 'QEMU', blow: 'killed', conditions: ['running'] },
  { hit: 'qemu-img', blow: 'killed', conditions: ['shut off'] },
  { hit: 'virsh', blow: 'killed', conditions: ['running', 'shut off'] },
  { hit: 'kvmsnap', blow: 'killed', conditions: ['running', 'shut off'] },
  { hit: 'libvirtd', blow: 'stopped', conditions: ['running', 'shut off'] },
  { hit: 'QEMU', blow: 'stopped', conditions: ['running'] },
  { hit: 'metadata', blow: 'full', conditions: ['running', 'shut off'] },
];

export interface Fault extends Omit<Interruption, 'conditions'> {
  readonly operation: Operation;
  readonly condition: Condition;
}

/** Every interruption in the middle of every operation. */
export const FAULTS: readonly Fault[] = [
  ...OPERATIONS.flatMap((operation) =>
    INTERRUPTIONS.flatMap(({ conditions, ...interruption }) =>
      conditions.map((condition) => ({ operation, condition, ...interruption })),
    ),
  ),
  { operation: CREATE_EXTERNAL, condition: 'running', hit: 'memory file', blow: 'full' },
];

/** `create, running: libvirtd killed` */
export const titleOf = ({ operation, condition, hit, blow }: Fault): string =>
  `${operation.what}, ${condition}: ${hit} ${blow}`;
