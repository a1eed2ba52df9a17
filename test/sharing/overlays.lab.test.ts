// An image that an overlay of another VM lies on, judged by the data.
import { existsSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { refused } from '../lab/evidence.ts';
import { tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { byteIn, NOW, succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { leavesBoth } from './leaves-both.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const small = { size: '4M' };

describe('a linked clone', () => {
  function cloned(): readonly [Vm, Vm] {
    const golden = defineVm({ name: 'golden', disks: [small] });
    write(golden, THEN);
    take(golden, 's1');
    write(golden, NOW);
    const alias = join(dirname(pathOf(golden)), 'alias.qcow2');
    symlinkSync(pathOf(golden), alias);
    return [golden, defineVm({ name: 'clone', disks: [{ backing: alias }] })];
  }

  test('keeps what it sees', async () => {
    const both = cloned();
    const words = await leavesBoth(both, 'revert', 'golden', 's1', '--force');
    expect(words).toMatch(/VM clone \(shut off\) has an overlay on top of it \(disk vda\)/);
    expect(byteIn(pathOf(both[1]))).toBe(NOW);
  });

  test('is no hindrance while it is off and nothing that it sees changes', async () => {
    const [golden, clone] = cloned();
    await succeed('create-as', 'golden', 's2');
    await succeed('delete', 'golden', 's1');
    await succeed('create-as', 'clone', 'c1');
    await succeed('revert', 'clone', 'c1');
    expect([byteIn(pathOf(golden)), byteIn(pathOf(clone))]).toEqual([NOW, NOW]);
  });

  test('that runs has what lies below locked', async () => {
    const both = cloned();
    start(both[1]);
    await leavesBoth(both, 'create-as', 'golden', 's2', '--force');
    await leavesBoth(both, 'delete', 'golden', 's1');
    expect(state(both[1])).toBe('running');
  });

  test('stands in the way of its own snapshot while what lies below is written to', async () => {
    const both = cloned();
    start(both[0]);
    expect(await leavesBoth(both, 'create-as', 'clone', 'c1')).toMatch(
      /another VM writes to its backing file/,
    );
  });
});

test('an overlay that another VM lies on is not left for removal', async () => {
  const first = defineVm({ name: 'first', disks: [small] });
  take(first, 'e1', '--disk-only');
  const overlay = pathOf(first).replace(/qcow2$/, 'e1');
  defineVm({ name: 'clone', disks: [{ backing: overlay }] });
  const { code } = await kvmsnap(['delete', 'first', 'e1', '--leftovers']);
  expect([code, existsSync(overlay), snapshotNames(first)]).toEqual([5, true, ['e1']]);
  await succeed('delete', 'first', 'e1', '--metadata', '--leftovers');
  expect(existsSync(overlay)).toBe(true);
});

test('external: neither a revert nor a merge takes the overlay of another VM away', async () => {
  const first = defineVm({ name: 'first', disks: [small] });
  take(first, 'e1', '--disk-only');
  take(first, 'e2', '--disk-only');
  const overlay = pathOf(first).replace(/qcow2$/, 'e2');
  const clone = defineVm({ name: 'clone', disks: [{ backing: overlay }] });
  const both = [first, clone];
  const before = tool('qemu-img', ['info', '--output=json', '--backing-chain', pathOf(clone)]);
  const words = await leavesBoth(both, 'revert', 'first', 'e1', '--force');
  expect(words).toMatch(
    since({ '0.0': /cannot revert to external/, '9.9': /VM clone .* overlay on top of it/ }),
  );
  expect(tool('qemu-img', ['info', '--output=json', '--backing-chain', pathOf(clone)])).toBe(before);
});

describe('a directory with two paths', () => {
  /** A second path to the directory of the VM's images. */
  function otherDirectory(vm: Vm): string {
    const link = `${dirname(pathOf(vm))}-link`;
    symlinkSync(dirname(pathOf(vm)), link);
    return link;
  }

  test('the overlay in use is not called unused, whatever path leads to it', async () => {
    const first = defineVm({ name: 'first', disks: [small] });
    take(first, 'e1', '--disk-only');
    virsh('snapshot-delete', first.uuid, 'e1', '--metadata');
    const overlay = pathOf(first).replace(/qcow2$/, 'e1');
    const alias = join(otherDirectory(first), basename(overlay));
    const file = `${dirname(alias)}/first.xml`;
    writeFileSync(file, virsh('dumpxml', '--inactive', first.uuid).replace(overlay, alias));
    virsh('define', file);
    const { stdout } = await succeed('check', 'first');
    expect(stdout).not.toMatch(/unused-file|rm /);
    const left = `${dirname(overlay)}/left.qcow2`;
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', overlay, '-F', 'qcow2', left]);
    const lines = (await succeed('check', 'first')).stdout.split('\n');
    expect(lines.filter((line) => line.includes(' rm '))).toEqual([expect.stringContaining('left.qcow2')]);
  });

  test('no overlay becomes the file that another VM will have', async () => {
    const first = defineVm({ name: 'first', disks: [small] });
    const second = defineVm({ name: 'second', disks: [small] });
    const path = join(otherDirectory(second), basename(pathOf(second)));
    rmSync(pathOf(second));
    const spec = ['--disk-only', '--force', '--diskspec', `vda,file=${path}`];
    const { exitCode, message } = await refused('create-as', 'first', 'e1', ...spec);
    expect([exitCode, message]).toEqual([
      5,
      expect.stringContaining('VM second (shut off) uses it as disk vda'),
    ]);
    expect([existsSync(pathOf(second)), snapshotNames(first)]).toEqual([false, []]);
  });
});
