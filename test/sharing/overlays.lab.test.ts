// An image that an overlay of another VM lies on, judged by the data.
import { existsSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { tool } from '../lab/lab.ts';
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
