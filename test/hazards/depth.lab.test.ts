// Deep chains of overlays: how many libvirt takes, and how many it starts.
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { fail, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, start, type Vm } from '../scene/vm.ts';
import { errorsOf } from './promise/findings.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const MOST = since({ '7.0': 199, '11.3': 24, '12.8': 199 });
const MiB = 1024 * 1024;

const inUse = (vm: Vm) => /<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '';

/** A VM whose disk lies on as many overlays as libvirt starts, made without it. */
function deep(name: string): Vm {
  const image = (n: number) => join(scratch, `${name}.${n}`);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', image(0), '8M']);
  for (let n = 1; n < MOST; n++)
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image(n - 1), '-F', 'qcow2', image(n)]);
  return defineVm({ name, disks: [{ backing: image(MOST - 1) }] });
}

const starts = (vm: Vm): boolean => tryVirsh('start', vm.uuid).code === 0;

hazard(38, 'one overlay more than libvirt can start, VM off', async () => {
  const vm = deep('web-1');
  expect(starts(vm)).toBe(true);
  destroy(vm);
  const { words } = await refusesAll(vm, 'create-as', 'web-1', 's', '--disk-only', '--force');
  expect(await fail(5, 'create', 'web-1', '--label', 'n', '--keep-last', '400', '--external')).toContain(
    `cannot start a VM with more than ${MOST} overlays`,
  );

  take(vm, 's1', '--disk-only');
  writePattern(inUse(vm), 0x38, 0, MiB);
  expect([starts(vm), tryVirsh('snapshot-delete', vm.uuid, 's1').code]).toEqual([false, 1]);
  const [finding] = (await errorsOf(vm)).filter(({ rule }) => rule === 'chain-too-deep');
  // 7.0 deletes no external snapshot, but it forgets one
  for (const line of finding?.commands ?? []) pasteOk(line);
  expect([snapshotNames(vm), hasPattern(inUse(vm), 0x38, 0, MiB)]).toEqual([[], true]);
  expect(starts(vm)).toBe(true);
  return {
    virsh: 'takes it, exit 0; the VM never starts again, and no deletion works',
    kvmsnap: `${words}; check names a way back that keeps the disk`,
  };
});

hazard(38, 'one overlay more than libvirt can start, VM running', async () => {
  const vm = deep('web-1');
  start(vm);
  const { words } = await refusesAll(vm, 'create-as', 'web-1', 's', '--disk-only', '--force');
  const { code } = tryVirsh('snapshot-create-as', vm.uuid, 's1', '--disk-only');
  if (code !== 0) return { virsh: `refuses, exit ${code}`, kvmsnap: words };
  const [finding] = (await errorsOf(vm)).filter(({ rule }) => rule === 'chain-too-deep');
  const command = finding?.command ?? '';
  expect(command).toBe('kvmsnap delete web-1 s1');
  pasteOk(command);
  destroy(vm);
  expect([snapshotNames(vm), starts(vm)]).toEqual([[], true]);
  destroy(vm);
  take(vm, 's1', '--disk-only');
  expect(starts(vm)).toBe(false);
  return {
    virsh: 'takes it, exit 0; the VM never starts again',
    kvmsnap: `${words}; check names what to delete while it runs`,
  };
});
