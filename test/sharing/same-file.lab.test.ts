// One image under two paths, as only root can make them: bind mounts, and two nodes of one block device.
import { mkdtempSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { refused } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { bindMount, blockDevice, makeReadOnly } from '../scene/mount.ts';
import { byteIn, NOW, succeed, THEN, tagNames, take, write } from '../scene/steps.ts';
import { cleanUp, type DiskSpec, defineVm, destroy, pathOf, start, undefine, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** Off, with the snapshots `s1` of THEN and `s2`, and NOW on its disk. */
function movedOn(disk: DiskSpec): Vm {
  const vm = defineVm({ name: 'first', boot: 'counter', disks: [disk] });
  write(vm, THEN);
  for (const name of ['s1', 's2']) take(vm, name);
  write(vm, NOW);
  return vm;
}

/** The same directory under another path. */
function underBindMount(path: string): string {
  const directory = mkdtempSync(join(scratch, 'bind-'));
  bindMount(dirname(path), directory);
  return join(directory, basename(path));
}

/** The same device under another path, which is no link. */
function otherNode(path: string): string {
  const node = join(mkdtempSync(join(scratch, 'node-')), 'disk');
  const { rdev } = statSync(path);
  tool('mknod', [node, 'b', String((rdev >> 8) & 0xfff), String((rdev & 0xff) | ((rdev >> 12) & 0xfff00))]);
  return node;
}

const KINDS: readonly [string, DiskSpec, (path: string) => string][] = [
  ['a file under a bind mount', { size: '4M' }, underBindMount],
  ['a block device with two nodes', { size: '4M', backend: 'block' }, otherNode],
];

describe.runIf(isSystemLab).each(share(2, KINDS))('%s', (_, disk, otherPath) => {
  test('is one image for the VMs that have it', async () => {
    const first = movedOn(disk);
    const second = defineVm({
      name: 'second',
      disks: [{ ...disk, source: otherPath(pathOf(first)), format: 'qcow2' }],
    });
    for (const args of [
      ['revert', 'first', 's1', '--force'],
      ['revert', 'first', 's1', '--backup', '--force'],
    ]) {
      const { exitCode, message } = await refused(...args);
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining('VM second (shut off) uses it as disk vda'),
      ]);
    }
    start(second);
    expect((await refused('create-as', 'first', 's3', '--force')).message).toContain('VM second (running)');
    expect((await refused('delete', 'first', 's1')).command).toBe('virsh shutdown second');
    expect([byteIn(pathOf(first)), tagNames(first)]).toEqual([NOW, [['s1', 's2']]]);

    destroy(second);
    undefine(second);
    await succeed('revert', 'first', 's1');
    await succeed('delete', 'first', 's2');
    expect([byteIn(pathOf(first)), tagNames(first)]).toEqual([THEN, [['s1']]]);
  });

  test('is the image of its snapshots under the other path too', async () => {
    const first = movedOn(disk);
    const path = otherPath(pathOf(first));
    tool('sh', [
      '-c',
      'virsh dumpxml --inactive "$1" | sed "s#$2#$3#" > "$4" && virsh define "$4"',
      ...['sh', first.uuid, pathOf(first), path, join(scratch, 'other.xml')],
    ]);
    const { stdout } = await succeed('check', 'first');
    expect(stdout).not.toContain('moved');
    await succeed('delete', 'first', 's2');
    await succeed('revert', 'first', 's1');
    expect([byteIn(path), tagNames(first)]).toEqual([THEN, [['s1']]]);
  });
});

test.runIf(isSystemLab)('a loop device over a file is that file, for the VMs that have it', async () => {
  const first = movedOn({ size: '4M' });
  tool('truncate', ['-s', '64M', pathOf(first)]); // a device does not grow
  const device = blockDevice(pathOf(first));
  const second = defineVm({
    name: 'second',
    boot: 'counter',
    disks: [{ source: device, backend: 'block', format: 'qcow2' }],
  });
  start(second);
  for (const args of [
    ['revert', 'first', 's1', '--force'],
    ['create-as', 'first', 's3', '--force'],
    ['delete', 'first', 's2'],
  ]) {
    const { exitCode, message } = await refused(...args);
    expect([exitCode, message]).toEqual([5, expect.stringContaining('VM second (running)')]);
  }
  destroy(second);
  expect((await refused('delete', 'second', 's1')).exitCode).toBe(4);
  expect((await succeed('check', 'second')).stdout).not.toContain('qemu-img snapshot -d');
  expect([byteIn(pathOf(first)), tagNames(first)]).toEqual([NOW, [['s1', 's2']]]);
});

test.runIf(isSystemLab)('a read-only mount of the same file somewhere else hinders nobody', async () => {
  const first = movedOn({ size: '4M' });
  makeReadOnly(dirname(underBindMount(pathOf(first))));
  await succeed('create-as', 'first', 's3');
  await succeed('delete', 'first', 's2');
  await succeed('revert', 'first', 's1');
  expect([byteIn(pathOf(first)), tagNames(first)]).toEqual([THEN, [['s1', 's3']]]);
});
