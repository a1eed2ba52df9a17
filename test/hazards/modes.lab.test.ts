// Who may read what a snapshot has made.
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { succeed, take } from '../lab/scene.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../lab/vm.ts';
import { errorsOf } from './findings.ts';
import { hazard } from './promise.ts';

afterEach(cleanUp);
afterAll(cleanUp);

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
