// Images whose refcounts are wrong, judged by the bytes of the guest.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { tool, virsh } from '../lab/lab.ts';
import { hasPattern, hasPatternIn, writePattern } from '../scene/disk.ts';
import { failure, fitting, NOW, succeed, THEN, tagNames, take } from '../scene/steps.ts';
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

/** Off, with the snapshots s1 and s2, which share all but the first 64 KiB with the present state. */
function withTwo(name: string): Vm {
  const vm = written(name);
  for (const [i, snapshot] of ['s1', 's2'].entries()) {
    take(vm, snapshot);
    writePattern(pathOf(vm), NOW + i, 0, CLUSTER);
  }
  return vm;
}

function written(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  writePattern(pathOf(vm), THEN, 0, MiB);
  return vm;
}

/** Where the data of the guest at a place of the disk are in the file. */
function dataAt(vm: Vm, bytes: number): number {
  const map = JSON.parse(tool('qemu-img', ['map', '-f', 'qcow2', '--output=json', pathOf(vm)]));
  const extent = map.find(
    ({ start, length }: { start: number; length: number }) => start <= bytes && bytes < start + length,
  );
  return (extent.offset + bytes - extent.start) / CLUSTER;
}

const isWhole = (path: string) => hasPattern(path, THEN, 0, MiB);

test('data that are counted as free: virsh overwrites them, kvmsnap refuses', async () => {
  const [twin, vm] = [written('twin'), written('web')];
  for (const each of [twin, vm]) setRefcount(pathOf(each), dataAt(each, 0), 0);
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
  setRefcount(pathOf(vm), dataAt(vm, 0) + 100, 1);
  await succeed('create-as', 'web', 's1');
  expect([isWhole(pathOf(vm)), tagNames(vm)]).toEqual([true, [['s1']]]);
});

const REST = MiB - CLUSTER;
const rest = (vm: Vm) => hasPattern(pathOf(vm), THEN, CLUSTER, REST);
const restOf = (vm: Vm, name: string) => hasPatternIn(pathOf(vm), name, THEN, CLUSTER, REST);
const first = (vm: Vm) => hasPattern(pathOf(vm), NOW + 1, 0, CLUSTER);

test('a deletion or revert overwrites data that are counted as free, or cannot read the list any more', async () => {
  const own = withTwo('own');
  setRefcount(pathOf(own), dataAt(own, 0), 0);
  virsh('snapshot-delete', '--domain', own.uuid, '--snapshotname', 's1');
  expect(first(own)).toBe(false);

  const shared = withTwo('shared');
  setRefcount(pathOf(shared), dataAt(shared, MiB / 2), 0);
  virsh('snapshot-revert', '--domain', shared.uuid, '--snapshotname', 's2');
  expect([rest(shared), restOf(shared, 's2')]).toEqual([false, false]);

  const twice = withTwo('twice');
  setRefcount(pathOf(twice), dataAt(twice, MiB / 2), 1);
  for (const name of ['s1', 's2']) virsh('snapshot-delete', '--domain', twice.uuid, '--snapshotname', name);
  expect(rest(twice)).toBe(false);

  // the guest writes in place over what it seems to own alone
  const alone = withTwo('alone');
  setRefcount(pathOf(alone), dataAt(alone, MiB / 2), 1);
  virsh('snapshot-revert', '--domain', alone.uuid, '--snapshotname', 's2');
  writePattern(pathOf(alone), NOW, MiB / 2, CLUSTER);
  expect(restOf(alone, 's2')).toBe(false);
});

test.each([
  ['the data of the guest, as free', 0, 0],
  ['shared data, as free', MiB / 2, 0],
  ['shared data, as used once', MiB / 2, 1],
])('counts %s: no deletion, revert, or snapshot', async (_, place, count) => {
  const vm = withTwo('web');
  setRefcount(pathOf(vm), dataAt(vm, place), count);
  const commands = [
    ['delete', 'web', 's1'],
    ['delete', 'web', 's1', '--children'],
    ['prune', 'web', '--match', 's*', '--keep-last', '1'],
    ['revert', 'web', 's1'],
    ['revert', 'web', 's1', '--backup', '--force'],
    ['create-as', 'web', 's3'],
  ];
  for (const command of commands) {
    const { findings } = await failure(5, ...command, ...(command.includes('--children') ? ['--yes'] : []));
    expect(findings).toMatchObject([
      { message: expect.stringContaining('a cluster is in use, but the image counts it as free, or') },
    ]);
  }
  const { code } = await kvmsnap(['check', 'web', '--fix', '--yes']);
  expect(code).toBe(5);
  expect([rest(vm), first(vm), restOf(vm, 's1'), restOf(vm, 's2'), tagNames(vm)]).toEqual([
    ...[true, true, true, true],
    [['s1', 's2']],
  ]);
  await succeed('delete', 'web', 's1', '--metadata');
  expect(tagNames(vm)).toEqual([['s1', 's2']]);
});
