// What is held is not deleted, whatever the command and its options.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { fail, failure, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf } from '../scene/vm.ts';
import { facts, family } from './described.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('what is held is not deleted', () => {
  const OPTIONS = [[], ['--yes'], ['--metadata'], ['--yes', '--metadata']];

  test.each(share(2, OPTIONS))('delete %j: exit 5, and the hint lets it go', async (...options) => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'leaf');
    const before = facts(vm);
    const { message, hint, command } = await failure(5, 'delete', 'kept', 'leaf', ...options);
    expect(message).toBe('cannot delete leaf of kept: leaf is on hold');
    expect(hint).toContain(command);
    expect(facts(vm)).toEqual(before);
    pasteOk(command);
    await succeed('delete', 'kept', 'leaf', ...options);
    expect(snapshotNames(vm)).not.toContain('leaf');
  });

  test('delete has no --force that could', async () => {
    family('kept');
    await succeed('hold', 'kept', 'leaf');
    await fail(2, 'delete', 'kept', 'leaf', '--force');
  });

  test.each([
    ['root', '--children'],
    ['root', '--children-only'],
    ['middle', '--children', '--metadata'],
  ])('delete %s %s names each that is held, and deletes none', async (name, ...options) => {
    const vm = family('kept');
    for (const held of ['leaf', 'branch']) await succeed('hold', 'kept', held);
    const before = facts(vm);
    for (const extra of [['--dry-run'], ['--yes'], []]) {
      const { message } = await failure(5, 'delete', 'kept', name, ...options, ...extra);
      expect(message).toContain('leaf is on hold');
      expect(message).toContain('branch is on hold');
    }
    expect(facts(vm)).toEqual(before);
  });

  test('of several names the others go, and of several VMs too', async () => {
    const vm = family('kept');
    const other = defineVm({ name: 'kept-2', disks: [{ size: '8M' }] });
    take(other, 'leaf');
    await succeed('hold', 'kept', 'leaf');
    expect((await kvmsnap(['delete', 'kept', 'leaf', 'branch'])).code).toBe(3);
    expect(snapshotNames(vm)).toEqual(['leaf', 'middle', 'root']);
    const many = await kvmsnap(['delete', 'kept*', 'leaf', '--yes']);
    expect(many).toMatchObject({ code: 3, stderr: expect.stringContaining('leaf is on hold') });
    expect([snapshotNames(vm), snapshotNames(other)]).toEqual([['leaf', 'middle', 'root'], []]);
  });

  test('in a script without --yes, what is held is told of before the missing consent', async () => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'leaf');
    const before = facts(vm);
    for (const args of [
      ['kept', 'branch', 'leaf', '--children'],
      ['kep*', 'branch', 'leaf'],
    ])
      expect((await failure(5, 'delete', ...args)).message).toContain('leaf is on hold');
    expect(facts(vm)).toEqual(before);
  });

  test('what exists already and is held: the advice of create works when pasted', async () => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'leaf');
    const { findings } = await failure(6, 'create-as', 'kept', 'leaf');
    const commands = findings.flatMap((finding) => finding.commands);
    expect(commands).toEqual(['kvmsnap unhold kept leaf', 'kvmsnap delete kept leaf']);
    for (const command of commands) pasteOk(command);
    expect(snapshotNames(vm)).not.toContain('leaf');
  });

  test('check --fix unregisters no snapshot on hold', async () => {
    const vm = defineVm({ name: 'kept', disks: [{ size: '8M' }] });
    take(vm, 'gone');
    await succeed('hold', 'kept', 'gone');
    tool('qemu-img', ['snapshot', '-d', 'gone', pathOf(vm)]);
    expect((await kvmsnap(['check', 'kept', '--fix', '--yes'])).code).toBe(5);
    expect(snapshotNames(vm)).toEqual(['gone']);
    const { domains } = JSON.parse((await kvmsnap(['check', 'kept', '--json'])).stdout);
    const found = domains[0]?.findings.find(({ rule }: { rule: string }) => rule === 'no-data');
    expect(found?.command).toBe('kvmsnap unhold kept gone');
    pasteOk(found?.command);
    await kvmsnap(['check', 'kept', '--fix', '--yes']);
    expect(snapshotNames(vm)).toEqual([]);
  });
});
