// Images whose refcounts are wrong, judged by the bytes of the guest.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { tool, virsh } from '../lab/lab.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { failure, fitting, succeed, THEN, tagNames } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const MiB = 2 ** 20;
const CLUSTER = 65_536;

/** Sets the refcount (16 bits) of a cluster of the file. Source of the format: QEMU's docs/interop/qcow2.rst. */
function setRefcount(path: string, cluster: number, count: number): void {
  const file = openSync(path, 'r+');
  const at = (offset: number) => {
    const bytes = Buffer.alloc(8);
    readSync(file, bytes, 0, 8, offset);
    return Number(bytes.readBigUInt64BE());
  };
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(count);
  writeSync(file, bytes, 0, 2, at(at(48)) + cluster * 2);
  closeSync(file);
}

function written(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  writePattern(pathOf(vm), THEN, 0, MiB);
  return vm;
}

/** Where the first data of the guest are in the file. */
function firstData(vm: Vm): number {
  const map = JSON.parse(tool('qemu-img', ['map', '-f', 'qcow2', '--output=json', pathOf(vm)]));
  return map[0].offset / CLUSTER;
}

const isWhole = (path: string) => hasPattern(path, THEN, 0, MiB);

test('data that are counted as free: virsh overwrites them, kvmsnap refuses', async () => {
  const [twin, vm] = [written('twin'), written('web')];
  for (const each of [twin, vm]) setRefcount(pathOf(each), firstData(each), 0);
  expect([isWhole(pathOf(twin)), isWhole(pathOf(vm))]).toEqual([true, true]);
  virsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
  expect(isWhole(pathOf(twin))).toBe(false);

  const { findings } = await failure(5, 'create-as', 'web', 's1');
  expect(findings).toMatchObject([{ message: expect.stringContaining('a cluster') }]);
  const { code, stdout } = await kvmsnap(['--json', 'check', 'web']);
  expect([code, fitting('check', JSON.parse(stdout)).domains[0]?.findings]).toMatchObject([
    5,
    [{ level: 'error', rule: 'refcounts-too-low' }],
  ]);
  expect([isWhole(pathOf(vm)), tagNames(vm)]).toEqual([true, [[]]]);
  tool('sh', ['-c', findings[0]?.commands[0] ?? 'false']);
  expect(isWhole(`${pathOf(vm)}.copy`)).toBe(true);
});

test('what is counted and not used costs only space', async () => {
  const vm = written('web');
  setRefcount(pathOf(vm), firstData(vm) + 100, 1);
  await succeed('create-as', 'web', 's1');
  expect([isWhole(pathOf(vm)), tagNames(vm)]).toEqual([true, [['s1']]]);
});
