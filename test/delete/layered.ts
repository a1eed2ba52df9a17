// VMs with a chain of overlays, and what each of its files holds.
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect } from 'vitest';
import { writableImages } from '../lab/evidence.ts';
import { tool, tryVirsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { formatOf, imageInfo, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { failure, take } from '../scene/steps.ts';
import { pathOf, state, type Vm } from '../scene/vm.ts';

export const STEP = 1024 * 1024;

/** Writes the nth step's byte at a place of its own, into what the disks of a VM that is off lie on now. */
export function step(vm: Vm, n: number): void {
  for (const path of activeImages(vm)) writePattern(path, 0x10 + n, n * STEP, 64 * 1024);
}

export const activeImages = (vm: Vm): string[] => writableImages(vm);

/** Which of the first four steps all disks hold. */
export function steps(vm: Vm): number[] {
  const held = activeImages(vm).map(stepsIn);
  return [0, 1, 2, 3].filter((n) => held.every((all) => all.includes(n)));
}

export function stepsIn(path: string): number[] {
  const reads = [0, 1, 2, 3].flatMap((n) => ['-c', `read -v ${n * STEP} 512`]);
  const shown = tool('qemu-io', ['-r', '-U', '-f', formatOf(path), ...reads, path]);
  const firsts = [...shown.matchAll(/^([0-9a-f]{8}): {2}([0-9a-f]{2})/gm)];
  return firsts.flatMap(([, offset = '', byte = '']) => {
    const n = Number.parseInt(byte, 16) - 0x10;
    return Number.parseInt(offset, 16) === n * STEP ? [n] : [];
  });
}

/** The file under each disk, and those under it, by their endings. */
export function chain(vm: Vm, n = 0): string[] {
  const links: string[] = [];
  for (let path: string | undefined = activeImages(vm)[n]; path; ) {
    links.push(path.slice(path.lastIndexOf('.') + 1));
    path = imageInfo(path)['backing-filename'];
  }
  return links;
}

/** The files beside the first disk. */
export const files = (vm: Vm): string[] =>
  readdirSync(dirname(pathOf(vm))).filter((name) => name !== 'VM.xml');

export const beside = (vm: Vm, ending: string): string => pathOf(vm).replace(/qcow2$/, ending);

export function layer(vm: Vm, ...snapshots: string[]): Vm {
  step(vm, 0);
  for (const [n, snapshot] of snapshots.entries()) {
    take(vm, snapshot, '--disk-only');
    step(vm, n + 1);
  }
  return vm;
}

export const deleteRaw = (vm: Vm, name: string) =>
  tryVirsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', name);

/** All that a refusal must leave as it was. */
export const scene = (vm: Vm) => ({
  state: state(vm),
  snapshots: snapshotNames(vm),
  current: currentSnapshot(vm),
  chain: chain(vm),
  files: files(vm),
  steps: steps(vm),
});

/** What this libvirt cannot delete at all is refused with what helps. */
export async function refusedHere(vm: Vm, name: string): Promise<boolean> {
  if (since({ '7.0': false, '9.0': true })) return false;
  const before = scene(vm);
  const { message, command } = await failure(5, 'delete', vm.name, name);
  expect(message).toContain('this libvirtd (before 9.0) cannot delete external snapshots');
  expect(command).toBe(`kvmsnap delete --metadata ${vm.name} ${name}`);
  expect(deleteRaw(vm, name).stderr).toContain('external disk snapshots not supported yet');
  expect(scene(vm)).toEqual(before);
  return true;
}
