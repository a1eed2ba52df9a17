// Overlays: who may read one, and those that libvirt makes itself in a revert to an external snapshot: their names, and where they are put.

import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh } from '../lab/lab.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { errorsOf } from './promise/findings.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** A running VM with an external snapshot, and this medium in its CD-ROM. */
function withMedium(name: string, medium: string): Vm {
  const vm = defineVm({
    name,
    boot: 'counter',
    disks: [{ size: '4M' }, { device: 'cdrom', format: 'raw', source: medium, readonly: true }],
  });
  take(vm, 'e1', '--disk-only');
  start(vm);
  return vm;
}

function iso(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'medium.iso');
  tool('qemu-img', ['create', '-q', '-f', 'raw', path, '1M']);
  return path;
}

hazard(56, 'two reverts to external snapshots within one second', async () => {
  const medium = iso(join(scratch, 'media'));
  const vms = ['twin', 'web-1', 'web-2', 'web-3'].map((name) => withMedium(name, medium));
  const [twin, ...ours] = vms as [Vm, ...Vm[]];
  // as another VM's revert has made it, in whichever second libvirt comes to choose the name
  const now = Math.floor(Date.now() / 1000);
  const names = Array.from({ length: 30 }, (_, i) => medium.replace(/iso$/, `${now + i}`));
  for (const name of names) writeFileSync(name, 'taken'); // libvirt takes an empty one
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e1', '--running').code;
  const lost = code === 1 && state(twin) === 'shut off';
  for (const name of names) rmSync(name);

  const reverts = await Promise.all(ours.map(({ name }) => kvmsnap(['revert', name, 'e1', '--running'])));
  if (!lost) {
    expect(reverts.map((each) => each.code)).toEqual([5, 5, 5]);
    return { virsh: 'cannot, exit 1', kvmsnap: 'refuses, exit 5, nothing changed' };
  }
  expect(reverts.map((each) => [each.code, each.stderr.includes('error')])).toEqual(
    ours.map(() => [0, false]),
  );
  expect(ours.map(state)).toEqual(ours.map(() => 'running'));
  const again = await Promise.all(ours.map(({ name }) => kvmsnap(['revert', name, 'e1', '--running'])));
  expect(again.map((each) => each.code)).toEqual([0, 0, 0]);
  // the medium that the first revert has laid an overlay over is there to be looked at
  expect(again.map((each) => each.stderr).join('')).not.toContain('could not be inspected');
  return {
    virsh: 'stops the guest, and its memory is lost, exit 1',
    kvmsnap: 'waits until the names are free, for VMs with one CD-ROM medium too',
  };
});

hazard(42, 'revert to an external snapshot with a CD-ROM medium on a read-only file system', async () => {
  const make = (name: string): Vm => {
    const directory = smallFilesystem(4);
    const vm = withMedium(name, iso(directory));
    tool('mount', ['-o', 'remount,ro', directory]);
    return vm;
  };
  const [twin, vm] = [make('twin'), make('web-1')];
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e1', '--running').code;
  const end = state(twin);
  const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1', '--running', '--force');
  expect(state(vm)).toBe('running');
  return {
    virsh:
      end === 'running' ? `cannot, exit ${code}` : `stops the guest, and its memory is lost, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running`,
  };
});

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
const overlay = (vm: Vm, name: string) => pathOf(vm).replace(/qcow2$/, name);
const found = async (vm: Vm) => (await errorsOf(vm)).filter(({ rule }) => rule === 'readable-file');

hazard(54, 'overlay of a VM that is off', async () => {
  const [twin, vm] = ['twin', 'web-1'].map((name) =>
    defineVm({ name, disks: [{ size: '4M' }, { size: '4M' }] }),
  ) as [Vm, Vm];
  take(twin, 'e1', '--disk-only');
  await succeed('create-as', 'web-1', 'e1', '--disk-only', '--force');
  for (const { path } of vm.disks) expect(mode(path.replace(/qcow2$/, 'e1'))).toBe('600');
  expect(await found(vm)).toEqual([]);

  const raw = mode(overlay(twin, 'e1'));
  const [first, ...others] = await found(twin);
  if (first) pasteOk(first.command);
  // what else is found of such a snapshot on an older libvirt stays
  if (others.length > 0) await kvmsnap(['check', 'twin', '--fix', '--yes']);
  for (const { path } of twin.disks) expect(mode(path.replace(/qcow2$/, 'e1'))).toBe('600');
  expect(await found(twin)).toEqual([]);

  // with the VM running, and its memory
  start(vm);
  const memory = join(dirname(pathOf(vm)), 'memory');
  await succeed('create-as', 'web-1', 'm1', '--memspec', memory, '--force');
  expect([memory, overlay(vm, 'm1')].map(mode)).toEqual(['600', '600']);
  return {
    virsh: raw === '600' ? 'for the owner only' : `readable by every user of the host (${raw}), exit 0`,
    kvmsnap:
      raw === '600'
        ? 'for the owner only'
        : 'for the owner only; check finds the others, and --fix restricts them',
  };
});
