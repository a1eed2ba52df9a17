// VMs in the middle of a save: what interruptions, waiting and "busy" are tested on.
import { existsSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { processes } from '../lab/daemon.ts';
import { scratch, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { FILLED, MARK_ADDRESS } from './boot.ts';
import { tags } from './disk.ts';
import { currentSnapshot } from './snapshot.ts';
import { defineVm, guestWord, pathOf, start, state, stopQemu, type Vm } from './vm.ts';

export const FILL_MIB = 96;

/** A running VM whose memory is full of what does not compress: saving it takes a while. */
export async function fullVm(name: string): Promise<Vm> {
  const vm = defineVm({ name, memoryMiB: FILL_MIB + 32, boot: { fill: FILL_MIB } });
  start(vm);
  await waitFor(() => guestWord(vm, MARK_ADDRESS) === FILLED, { what: 'a full memory' });
  return vm;
}

/** Bytes that the first image occupies. */
export function occupied(vm: Vm): number {
  return statSync(pathOf(vm)).blocks * 512;
}

/** Runs what begins to save the VM, and holds QEMU in the middle of it until `continueQemu`. */
export async function holdSave<T>(vm: Vm, begin: () => T): Promise<T> {
  const before = occupied(vm);
  const begun = begin();
  await waitFor(() => occupied(vm) > before + 32 * MiB, { what: 'a save', intervalMs: 1 });
  stopQemu(vm);
  return begun;
}

/**
 * Whether the snapshot is all that a create of `fullMachine` promises: libvirt's current one, once in the image with
 * all the memory, and the guest keeps running.
 */
export function isComplete(vm: Vm, name: string): boolean {
  const found = tags(pathOf(vm)).filter((tag) => tag.name === name);
  return (
    currentSnapshot(vm) === name &&
    found.length === 1 &&
    (found[0]?.vmStateSize ?? 0) > FILL_MIB * MiB &&
    state(vm) === 'running' &&
    guestWord(vm, MARK_ADDRESS) === FILLED
  );
}

/** The virsh processes in the lab with this word on their command line. */
export function virshProcesses(word = ''): number[] {
  return processes()
    .filter(({ args }) => basename(args[0] ?? '') === 'virsh' && args.join(' ').includes(word))
    .map(({ pid }) => pid);
}

/** Waits for a virsh with this word on its command line, and hands its process back. */
export async function virshUnderWay(word: string): Promise<number> {
  const found = () => virshProcesses(word)[0];
  return (await waitFor(found, { what: `virsh ${word}`, intervalMs: 1 })) as number;
}

/** A tool that waits, before it does anything, when its command line has these words in it, in this order. */
export interface SlowTool {
  /** For a kvmsnap that is to use it. */
  readonly env: { readonly PATH: string };
  /** Resolves when it waits. */
  readonly waits: () => Promise<unknown>;
  readonly goOn: () => void;
}

export const slowVirsh = (...words: readonly string[]): SlowTool => slowTool('virsh', ...words);

export function slowTool(tool: 'virsh' | 'qemu-img', ...words: readonly string[]): SlowTool {
  const directory = mkdtempSync(join(scratch, 'slow-'));
  const path = process.env['PATH'] ?? '';
  const wait = `: >'${directory}/waits'; while [ ! -e '${directory}/go' ]; do sleep 0.02; done`;
  const script = `#!/bin/sh\ncase $* in *${words.map((word) => `'${word}'*`).join('')}) ${wait} ;; esac\nPATH='${path}' exec ${tool} "$@"\n`;
  writeFileSync(join(directory, tool), script, { mode: 0o755 });
  return {
    env: { PATH: `${directory}:${path}` },
    waits: () => waitFor(() => existsSync(join(directory, 'waits')), { what: `${tool} ${words.join(' ')}` }),
    goOn: () => writeFileSync(join(directory, 'go'), ''),
  };
}
