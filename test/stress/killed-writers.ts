// What a killed merge or create --together may leave: the content of the disks, guests that the next run lets go on, and no half snapshot.
import { existsSync } from 'node:fs';
import { type CliResult, kvmsnap } from '../lab/cli.ts';
import { virsh, waitFor } from '../lab/lab.ts';
import { writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { allClean, byteIn, bytes, count, THEN, write, writeAsGuest } from '../scene/steps.ts';
import { defineVm, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { halves, settled } from '../scene/whole.ts';
import type { Target } from './kill-others.ts';

const inUse = (vm: Vm): string[] =>
  [...virsh('dumpxml', '--domain', vm.uuid).matchAll(/<disk .*?<source file='([^']*)'/gs)].map(
    ([, path]) => path ?? '',
  );

const overlays = (vm: Vm): string[] =>
  vm.disks.map((_, n) => pathOf(vm, n).replace(/qcow2$/, 'left')).filter((path) => existsSync(path));

/** `merge` of what a backup tool has left, with new content for each run. */
function merging(name: string, isRunning: boolean): Target {
  const vm = defineVm({ name, disks: [{ size: '16M' }, { size: '16M' }] });
  write(vm, THEN);
  if (isRunning) start(vm);
  const byteOf = (n: number) => 100 + n;
  const args = ['merge', name, '--yes'];
  const wrongBytes = (n: number) =>
    inUse(vm).flatMap((path) =>
      byteIn(path) === byteOf(n) ? [] : [`${path} does not hold what was written, but ${byteIn(path)}`],
    );
  const wrongAtTheEnd = (n: number): string[] => {
    const files = inUse(vm).filter((path) => !vm.disks.some((disk) => disk.path === path));
    if (isRunning) destroy(vm);
    const found = [
      ...files.map((path) => `the VM still uses ${path}`),
      ...overlays(vm).map((path) => `${path} is left`),
      ...(bytes(vm).every((byte) => byte === byteOf(n)) ? [] : [`the disks hold ${bytes(vm)}`]),
      ...(allClean(vm) ? [] : ['an image is damaged']),
    ];
    if (isRunning) start(vm);
    return found;
  };
  return {
    what: isRunning ? 'merge, running' : 'merge, shut off',
    async prepare(n) {
      virsh('snapshot-create-as', vm.uuid, 'left', '--disk-only', '--no-metadata');
      if (isRunning) writeAsGuest(vm, byteOf(n));
      else for (const path of overlays(vm)) writePattern(path, byteOf(n), 2 ** 20, 2 ** 16);
      return args;
    },
    async after(n, ended) {
      await settled(vm);
      return [...wrongBytes(n), ...(ended.code === 0 ? wrongAtTheEnd(n) : [])];
    },
    async next(n) {
      const { code, stderr } = await kvmsnap(args);
      return [...(code === 0 ? [] : [`exit ${code}: ${stderr}`]), ...wrongAtTheEnd(n)];
    },
  };
}

export const mergingRunning = (): Target => merging('killed-merge', true);

export const mergingOff = (): Target => merging('killed-merge-off', false);

/** `create --together` of two running guests. */
export function takingTogether(): Target {
  const vms = ['killed-app', 'killed-db'].map((name) =>
    defineVm({ name, boot: 'counter', disks: [{ size: '8M' }] }),
  );
  for (const vm of vms) start(vm);
  const args = (name: string) => ['create-as', 'killed-app', name, '--vm', 'killed-db', '--together'];
  const flaws = () => vms.flatMap((vm) => halves(vm).map((what) => `${vm.name}: ${what}`));
  const holders = (name: string) => vms.filter((vm) => snapshotNames(vm).includes(name)).length;
  return {
    what: 'create --together',
    async prepare(n) {
      for (const vm of vms)
        for (const name of snapshotNames(vm)) virsh('snapshot-delete', '--domain', vm.uuid, name);
      return args(`s${n}`);
    },
    async after(n, ended) {
      for (const vm of vms) await settled(vm);
      const left = holders(`s${n}`);
      return [...flaws(), ...untrue(ended, left)];
    },
    async next(n) {
      const { code, stderr } = await kvmsnap(args(`next${n}`));
      const before = vms.map(count);
      const stand = vms.filter((vm) => state(vm) !== 'running' || domainXml(vm).includes('kvmsnap/pause'));
      if (stand.length > 0) return [`${stand.map(({ name }) => name)} stand still`, stderr];
      await waitFor(() => vms.every((vm, i) => count(vm) > (before[i] ?? 0)), { what: 'guests that go on' });
      const group = await kvmsnap(['revert', '--group', `next${n}`, '--dry-run']);
      return [
        ...(code === 0 && holders(`next${n}`) === 2 ? [] : [`exit ${code}: ${stderr}`]),
        ...(group.code === 0 ? [] : [`no group: ${group.stderr}`]),
        ...flaws(),
      ];
    },
  };
}

/** What a run that was not killed itself has told wrongly. */
function untrue({ code, signal, stderr }: CliResult, left: number): string[] {
  if (signal !== null) return [];
  if (code === 0) return left === 2 ? [] : [`exit 0, and ${left} of 2 VMs have the snapshot`];
  return left === 0 || stderr.includes('still exists') ? [] : [`exit ${code}, and ${left} of 2 have it`];
}
