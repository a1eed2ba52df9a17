// What the tests of the commands share: VMs of known content, and what is true of them by the data alone.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { type CliResult, kvmsnap } from '../lab/cli.ts';
import { tool, virsh, waitFor } from '../lab/lab.ts';
import { onTerminal, type Terminal } from '../lab/terminal.ts';
import { schemaProblems } from '../schema.ts';
import { MARK_ADDRESS } from './boot.ts';
import { checkImage, formatOf, hasPattern, hasPatternIn, tags, writePattern } from './disk.ts';
import { currentSnapshot, snapshotNames } from './snapshot.ts';
import { defineVm, guestWord, state, stopQemu, type Vm, type VmSpec } from './vm.ts';

/** What a disk held when a snapshot of it was taken, and what it holds now. */
export const THEN = 0x11;
export const NOW = 0x22;

const OFFSET = 1024 * 1024;
const LENGTH = 64 * 1024;

/** A VM with two small disks, the second half of what a revert can get wrong. */
export function twoDisks(name: string, spec: Partial<VmSpec> = {}): Vm {
  return defineVm({ name, disks: [{ size: '16M' }, { size: '16M' }], ...spec });
}

/** Writes the byte to every disk of a VM that is off. */
export function write(vm: Vm, byte: number): void {
  for (const { path } of vm.disks) writePattern(path, byte, OFFSET, LENGTH);
}

/** Writes the byte to every disk through the QEMU of a running VM, as its guest would. */
export function writeAsGuest(vm: Vm, byte: number): void {
  for (const [n] of vm.disks.entries()) {
    for (const command of [`write -P ${byte} ${OFFSET} ${LENGTH}`, 'flush']) {
      const line = `qemu-io -d /machine/peripheral/virtio-disk${n}/virtio-backend "${command}"`;
      virsh('qemu-monitor-command', '--domain', vm.uuid, '--hmp', line);
    }
  }
}

/** The byte that the image holds throughout where `write` writes; null when it is not the same everywhere. */
export function byteIn(path: string): number | null {
  const shown = tool('qemu-io', ['-r', '-U', '-f', formatOf(path), '-c', `read -v ${OFFSET} 512`, path]);
  const byte = Number.parseInt(/^[0-9a-f]+: {2}([0-9a-f]{2})/m.exec(shown)?.[1] ?? 'none', 16);
  return hasPattern(path, byte, OFFSET, LENGTH) ? byte : null;
}

/** The byte on each disk now. */
export function bytes(vm: Vm): (number | null)[] {
  return vm.disks.map(({ path }) => byteIn(path));
}

/** Whether each disk's snapshot of that name holds the byte. */
export function keeps(vm: Vm, name: string, byte: number): boolean {
  return vm.disks.every(({ path }) => hasPatternIn(path, name, byte, OFFSET, LENGTH));
}

/** The names of the snapshots inside each image. */
export function tagNames(vm: Vm): string[][] {
  return vm.disks.map(({ path }) => tags(path).map(({ name }) => name));
}

/** Every image, of a VM that is off, in order. */
export function allClean(vm: Vm): boolean {
  return vm.disks.every(({ path }) => checkImage(path).clean);
}

/** All that a command that refuses must leave as it was. */
export function facts(vm: Vm) {
  return {
    state: state(vm),
    bytes: bytes(vm),
    tags: tagNames(vm),
    snapshots: snapshotNames(vm),
    current: currentSnapshot(vm),
    definition: virsh('dumpxml', '--domain', vm.uuid, '--inactive'),
  };
}

/** A snapshot by raw virsh. */
export function take(vm: Vm, name: string, ...options: string[]): void {
  virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name, ...options);
}

/** Off, with the snapshot `s1` of THEN, and NOW on both disks. */
export function movedOn(name: string): Vm {
  const vm = twoDisks(name, { boot: 'counter' });
  write(vm, THEN);
  take(vm, 's1');
  write(vm, NOW);
  return vm;
}

/** The guest's count of ticks, 18 a second since it was booted. */
export const count = (vm: Vm): number => guestWord(vm, MARK_ADDRESS);

export async function countTo(vm: Vm, ticks: number): Promise<void> {
  await waitFor(() => count(vm) >= ticks, { what: `a count of ${ticks}` });
}

/** Hangs a running VM's QEMU in the middle of a job of raw virsh; `continueQemu` lets it come to its end. */
export async function hold(vm: Vm, command: string, ...options: string[]): Promise<Held> {
  stopQemu(vm);
  const child = spawn('virsh', [command, '--domain', vm.uuid, ...options], { stdio: 'ignore' });
  const done = new Promise((resolve) => child.on('close', resolve));
  const control = () => virsh('domcontrol', '--domain', vm.uuid);
  await waitFor(() => control().startsWith('background job'), { what: `the job of ${command}` });
  return { done };
}

interface Held {
  readonly done: Promise<unknown>;
}

/** Hangs it in the middle of a snapshot. */
export async function takeHalf(vm: Vm, name: string): Promise<Held> {
  const held = await hold(vm, 'snapshot-create-as', '--name', name);
  await waitFor(() => snapshotNames(vm).includes(name), { what: `'${name}' in the list` });
  return held;
}

/** Runs kvmsnap, which must succeed. */
export async function succeed(...args: string[]): Promise<CliResult> {
  const result = await kvmsnap(args);
  if (result.code !== 0) throw new Error(`kvmsnap ${args.join(' ')}: exit ${result.code}\n${result.stderr}`);
  return result;
}

/** Runs kvmsnap, which must fail with this exit code and print nothing as data; hands back what it said. */
export async function fail(code: number, ...args: string[]): Promise<string> {
  const result = await kvmsnap(args);
  expect({ args, code: result.code, stdout: result.stdout, stderr: result.stderr }).toMatchObject({
    code,
    stdout: '',
  });
  expect(result.stderr).toContain('error: ');
  return result.stderr;
}

/** Runs kvmsnap with `--json` before the arguments, and holds what it printed against the contract. */
export async function document<Name extends keyof typeof DOCUMENTS>(
  name: Name,
  ...args: string[]
): Promise<z.infer<(typeof DOCUMENTS)[Name]>> {
  const { stdout } = await succeed('--json', ...args);
  return fitting(name, JSON.parse(stdout));
}

/** A document that fits the contract, and the JSON Schema of it that the package ships. */
export function fitting<Name extends keyof typeof DOCUMENTS>(
  name: Name,
  printed: unknown,
): z.infer<(typeof DOCUMENTS)[Name]> {
  const path = fileURLToPath(new URL(`../../dist/schemas/${name}.json`, import.meta.url));
  expect(schemaProblems(JSON.parse(readFileSync(path, 'utf8')), printed)).toEqual([]);
  return z.parse(DOCUMENTS[name], printed) as z.infer<(typeof DOCUMENTS)[Name]>;
}

/** Takes a snapshot of one VM by kvmsnap, and hands back what its document says of it. */
export async function created(...args: string[]) {
  const { domains } = await document('create', 'create', ...args);
  const [{ snapshot, pruned } = { snapshot: null, pruned: [] }] = domains;
  if (!snapshot || domains.length > 1) throw new Error(`not one snapshot of one VM: ${args.join(' ')}`);
  return { snapshot, pruned };
}

/** What a delete's document says of its one VM. */
export async function deletedOf(...args: string[]) {
  const { domains } = await document('delete', 'delete', ...args);
  const [domain] = domains;
  if (!domain || domains.length > 1) throw new Error(`not one VM: ${args.join(' ')}`);
  return domain;
}

/** Runs kvmsnap with `--json`, which must fail with this exit code, and hands back its error by the contract. */
export async function failure(code: number, ...args: string[]) {
  const { stderr, ...result } = await kvmsnap(['--json', ...args]);
  expect({ args, code: result.code, stderr }).toMatchObject({ code });
  const { error } = fitting('error', JSON.parse(stderr.trim().split('\n').at(-1) ?? ''));
  expect(error.exitCode).toBe(code);
  return error;
}

/** Runs kvmsnap on a terminal, as far as its question. */
export async function asked(...args: string[]): Promise<Terminal> {
  const terminal = onTerminal(args);
  await terminal.waitForText(/\[y\/N\] /);
  return terminal;
}
