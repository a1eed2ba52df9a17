// Interrupts an operation of virsh or kvmsnap: it is held there first, so that no chance is in it.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CliResult, kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { killLibvirtd, processes, signalLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { scratch, sendSignal, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { FILLED, MARK_ADDRESS } from '../scene/boot.ts';
import { removeMounts, replaceCommand, smallFilesystem } from '../scene/mount.ts';
import { holdSave, slowVirsh, virshUnderWay } from '../scene/saving.ts';
import { take, write, writeAsGuest } from '../scene/steps.ts';
import { defineVm, guestWord, pathOf, qemuPid, start, type Vm } from '../scene/vm.ts';
import { settled } from '../scene/whole.ts';
import { BEFORE, type Fault, MEMORY_DIRECTORY, OLD, PRESENT } from './fault.ts';

const unixSeconds = () => Math.floor(Date.now() / 1000);

const FILL_MIB = 64;

/** Who carries out the operation. */
export type Actor = 'virsh' | 'kvmsnap';

/** Seconds after which a kvmsnap stops waiting for what hangs; it must have come to the middle by then. */
const PATIENCE = 12;

export interface Interrupted {
  readonly vm: Vm;
  /** Of kvmsnap only. */
  readonly result: CliResult | null;
  /** What `kvmsnap list` ended with while libvirtd was stopped. */
  readonly readExit: number | null;
}

/** Makes a VM, lets the actor begin, interrupts it in the middle, repairs what was hit and waits until all is quiet. */
export async function interrupt(fault: Fault, actor: Actor, name: string): Promise<Interrupted> {
  const filler = fault.hit === 'metadata' ? metadataDirectory() : null;
  if (fault.hit === 'memory file') tooSmall(fault.operation.what);
  const vm = await subject(name, fault);
  filler?.fill();
  const { run, middle, release, tidy } = await hold(fault, actor, vm);
  let readExit: number | null = null;
  if (fault.blow === 'killed') await KILLS[fault.hit]?.(fault, vm, run, middle);
  if (fault.blow === 'stopped') {
    if (fault.hit === 'libvirtd') {
      signalLibvirtd('SIGSTOP');
      readExit = (await kvmsnap(['list', name, '--timeout', '1'])).code;
    }
    await run.done;
    if (fault.hit === 'libvirtd') signalLibvirtd('SIGCONT');
  }
  release();
  const result = await run.done;
  await waitFor(() => imageWork(fault, vm).length === 0, { what: 'the end of qemu-img' });
  await settled(vm);
  tidy?.();
  filler?.empty();
  return { vm, result, readExit };
}

interface Run {
  readonly done: Promise<CliResult | null>;
  readonly kill: () => void;
}

function begin({ operation, blow }: Fault, actor: Actor, vm: Vm, env: { PATH?: string }): Run {
  if (actor === 'kvmsnap') {
    const patience = blow === 'stopped' ? ['--timeout', String(PATIENCE)] : [];
    const run = spawnKvmsnap([...operation.kvmsnap(vm.name), ...patience], { env });
    return { done: run.done, kill: () => run.kill('SIGKILL') };
  }
  const args = [operation.command, '--domain', vm.uuid, ...operation.options];
  const child = spawn('virsh', args, { env: { ...process.env, ...env }, stdio: 'ignore' });
  const done = new Promise<null>((resolve) => child.on('close', () => resolve(null)));
  return { done, kill: () => void child.kill('SIGKILL') };
}

/** `old` and `mid`, of which the disks hold the same ever since; a guest that takes a while to save, where that is to be held. */
async function subject(name: string, { operation, condition }: Fault): Promise<Vm> {
  const long = operation.what.startsWith('create') && condition === 'running';
  const vm = defineVm({
    name,
    disks: [{ size: '16M' }, { size: '16M' }],
    ...(long ? { memoryMiB: FILL_MIB + 32, boot: { fill: FILL_MIB } } : { boot: 'counter' }),
  });
  write(vm, OLD);
  if (condition === 'running') start(vm);
  take(vm, BEFORE[0] as string);
  if (condition === 'running') writeAsGuest(vm, PRESENT);
  else write(vm, PRESENT);
  // by its date, check tells which of them was first
  const taken = unixSeconds();
  await waitFor(() => unixSeconds() > taken, { what: 'the next second' });
  take(vm, BEFORE[1] as string);
  if (long) await waitFor(() => guestWord(vm, MARK_ADDRESS) === FILLED, { what: 'a full memory' });
  return vm;
}

interface Held {
  readonly run: Run;
  /** The process that does the work and is held in the middle of it. */
  readonly middle: number | null;
  readonly release: () => void;
  /** Once all is quiet. */
  readonly tidy?: () => void;
}

/** Begins it, and comes back when it stands still in the middle; what a full file system ends needs no holding. */
function hold(fault: Fault, actor: Actor, vm: Vm): Promise<Held> {
  const { operation, condition, blow } = fault;
  if (blow === 'full')
    return Promise.resolve({ run: begin(fault, actor, vm, {}), middle: null, release: () => {} });
  if (condition === 'shut off') return holdImageWork(fault, actor, vm);
  if (operation.what === 'create') return holdWithin(vm, () => begin(fault, actor, vm, {}));
  const startsQemu = operation.what === 'revert' && since({ '7.0': false, '9.0': true });
  return startsQemu ? holdStart(fault, actor, vm) : holdMonitor(fault, actor, vm);
}

/** In the middle of writing the memory. */
async function holdWithin(vm: Vm, start: () => Run): Promise<Held> {
  const run = await holdSave(vm, start);
  return { run, ...stopped(qemuPid(vm)) };
}

/** QEMU has been stopped, and libvirtd waits for its answer. */
async function holdMonitor(fault: Fault, actor: Actor, vm: Vm): Promise<Held> {
  const slow = slowVirsh(fault.operation.command);
  const run = begin(fault, actor, vm, slow.env);
  await slow.waits();
  const pid = qemuPid(vm);
  sendSignal(pid, 'SIGSTOP');
  slow.goOn();
  const control = () => virsh('domcontrol', '--domain', vm.uuid);
  await waitFor(() => /background job|occupied/.test(control()), { what: 'the job' });
  return { run, ...stopped(pid) };
}

/** The old QEMU is gone, and the new one has only begun. */
async function holdStart(fault: Fault, actor: Actor, vm: Vm): Promise<Held> {
  const old = qemuPid(vm);
  const run = begin(fault, actor, vm, {});
  const found = () =>
    processes().find(
      ({ pid, args }) => pid !== old && args[0]?.includes('qemu-system') && args.includes(vm.uuid),
    )?.pid;
  const pid = (await waitFor(found, { what: 'the new QEMU', intervalMs: 1 })) as number;
  sendSignal(pid, 'SIGSTOP');
  return { run, ...stopped(pid) };
}

/** The first disk is done, and the second is not. */
async function holdImageWork(fault: Fault, actor: Actor, vm: Vm): Promise<Held> {
  const directory = mkdtempSync(join(scratch, 'slow-'));
  const [waits, goOn] = ['waits', 'go'].map((name) => join(directory, name)) as [string, string];
  const words = `*'snapshot ${fault.operation.imageOption} '*'${pathOf(vm, 1)}'*`;
  const wait = `: >'${waits}'; while [ ! -e '${goOn}' ]; do sleep 0.02; done`;
  replaceCommand(
    '/usr/bin/qemu-img',
    (original) => `#!/bin/sh\ncase $* in ${words}) ${wait} ;; esac\nexec '${original}' "$@"\n`,
  );
  const run = begin(fault, actor, vm, {});
  await waitFor(() => existsSync(waits), { what: 'qemu-img at the second disk' });
  const [middle = null] = imageWork(fault, vm);
  return { run, middle, release: () => writeFileSync(goOn, ''), tidy: removeMounts };
}

/** The processes of qemu-img that work on the second disk. */
function imageWork({ operation }: Fault, vm: Vm): number[] {
  return processes()
    .filter(({ args }) => args.includes(operation.imageOption ?? '') && args.includes(pathOf(vm, 1)))
    .map(({ pid }) => pid);
}

function stopped(pid: number): Pick<Held, 'middle' | 'release'> {
  return {
    middle: pid,
    release: () => {
      try {
        sendSignal(pid, 'SIGCONT');
      } catch {
        // it is the one that was killed
      }
    },
  };
}

type Kill = (fault: Fault, vm: Vm, run: Run, middle: number | null) => unknown;

async function killMiddle(...[, , , middle]: Parameters<Kill>): Promise<void> {
  if (middle === null) throw new Error('nobody to kill');
  sendSignal(middle, 'SIGKILL');
}

const KILLS: Readonly<Partial<Record<Fault['hit'], Kill>>> = {
  // it comes back while the work stands still: what it finds is always the same
  libvirtd: async () => {
    await killLibvirtd();
    await startLibvirtd();
  },
  QEMU: killMiddle,
  'qemu-img': killMiddle,
  virsh: async ({ operation }) => sendSignal(await virshUnderWay(operation.command), 'SIGKILL'),
  kvmsnap: (_fault, _machine, run) => run.kill(),
};

/** A file system where the memory does not fit. */
function tooSmall(what: string): void {
  if (what !== 'create with a memory file') throw new Error(`a ${what} writes no file of the memory`);
  mkdirSync(MEMORY_DIRECTORY, { recursive: true });
  smallFilesystem(FILL_MIB / 4, MEMORY_DIRECTORY);
}

/** libvirt's own directory on a file system of its own, with a little room to be taken. */
function metadataDirectory() {
  const directory = smallFilesystem(1, '/var/lib/libvirt/qemu/snapshot');
  const filler = join(directory, 'filler');
  return {
    fill: () => {
      try {
        writeFileSync(filler, Buffer.alloc(2 * MiB));
      } catch {
        // as it should be
      }
    },
    empty: () => rmSync(filler),
  };
}
