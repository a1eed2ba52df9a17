// A revert to the state of a file relies on its backing files too, however deep they are.
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { refused } from '../lab/evidence.ts';
import { tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const MiB = 1024 * 1024;
const EARLY = 0x11;
const LATE = 0x22;

const inUse = (vm: Vm) => /<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '';
const overlay = (vm: Vm, name: string) => pathOf(vm).replace(/qcow2$/, name);
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 1100));

/** Off, with external snapshots e1 to e3, each with a MiB of its own. */
function layered(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  for (const [n, each] of ['e1', 'e2', 'e3'].entries()) {
    writePattern(inUse(vm), EARLY, n * MiB, MiB);
    take(vm, each, '--disk-only');
  }
  return vm;
}

describe.runIf(since({ '7.0': false, '9.9': true }))('an external snapshot', () => {
  test('is refused after a file two below its state was written to', async () => {
    const vm = layered('web-1');
    await aWhile();
    writePattern(overlay(vm, 'e1'), LATE, MiB, MiB);
    const { exitCode, message } = await refused('revert', 'web-1', 'e3');
    expect([exitCode, message]).toEqual([
      5,
      expect.stringContaining(`${overlay(vm, 'e1')}, which contains a part of`),
    ]);
    expect(inUse(vm)).toBe(overlay(vm, 'e3'));
    // the state of e1 is below what was written
    await succeed('revert', 'web-1', 'e1');
  });

  test('is still good after a merge below it', async () => {
    const vm = layered('web-1');
    await aWhile();
    await succeed('delete', 'web-1', 'e2');
    await succeed('revert', 'web-1', 'e3');
    expect([0, 1, 2].map((n) => hasPattern(inUse(vm), EARLY, n * MiB, MiB))).toEqual([true, true, true]);
  });

  test('is refused while another VM writes to its base, and told of if it may', async () => {
    const vm = layered('web-1');
    const other = defineVm({ name: 'web-2', boot: 'counter', disks: [{ source: pathOf(vm) }] });
    start(other);
    for (const args of [
      ['revert', 'web-1', 'e3', '--force'],
      ['create-as', 'web-1', 'e4', '--external', '--disk-only', '--force'],
    ]) {
      const { exitCode, message } = await refused(...args);
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining('VM web-2 (running) uses it as disk vda'),
      ]);
    }
    destroy(other);
    expect(snapshotNames(vm)).toEqual(['e1', 'e2', 'e3']);
  });

  test('is reverted to after all its files were moved to another disk and back', async () => {
    const vm = layered('web-1');
    await aWhile();
    for (const path of [pathOf(vm), ...['e1', 'e2', 'e3'].map((name) => overlay(vm, name))])
      tool('sh', ['-c', 'cp -a "$1" "$1.moved" && mv "$1.moved" "$1"', 'sh', path]);
    const { stderr } = await succeed('revert', 'web-1', 'e2');
    expect(stderr).toContain('their dates do not show whether the content is that of e2');
    expect([0, 1, 2].map((n) => hasPattern(inUse(vm), EARLY, n * MiB, MiB))).toEqual([true, true, false]);
  });
});

test('an internal snapshot over a base that was written to since: the revert says so', async () => {
  const base = pathOf(defineVm({ name: 'base', disks: [{ size: '8M' }] }));
  virsh('undefine', 'base');
  defineVm({ name: 'web-1', disks: [{ backing: base }] });
  await succeed('create-as', 'web-1', 's1');
  const before = await succeed('revert', 'web-1', 's1');
  expect(before.stderr).not.toContain('was written to');
  tool('touch', ['-d', '+1 min', base]);
  const { stderr } = await succeed('revert', 'web-1', 's1');
  expect(stderr).toContain(`the backing file ${base} was written to after s1 was taken`);
});
