// A snapshot that libvirt lists and cannot print: its description is longer than a message of libvirt may be once it is escaped.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tryTool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { facts, fail, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

/** one, two (unreadable, the parent of three), three. */
function withUnreadable(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  for (const snapshot of ['one', 'two', 'three']) take(vm, snapshot);
  const xml = virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', 'two');
  const file = join(scratch, `${name}.xml`);
  const description = `<description>${"'".repeat(1_000_000)}</description>`;
  writeFileSync(file, xml.replace('</name>', `</name>${description}`));
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', file, '--redefine');
  const raw = ['snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', 'two'];
  expect(tryTool('virsh', raw).code).toBe(1);
  expect(virsh('snapshot-list', '--domain', vm.uuid, '--name')).toContain('two');
  return vm;
}

const SAID = 'cannot read the snapshot two of web';

describe('a snapshot that cannot be read', () => {
  test.each(
    share(3, [
      [['list', 'web'], 3],
      [['list', 'web', '--tree'], 3],
      [['list', 'w*'], 3],
      [['list'], 3],
      [['list', 'web', '-o', 'csv'], 3],
      [['check', 'web'], 5],
      [['space', 'web'], 3],
    ]),
  )('%j has a row with the error, exit %i', async (args, code) => {
    withUnreadable('web');
    const result = await kvmsnap(args);
    expect({ args, code: result.code }).toEqual({ args, code });
    expect(result.stdout).toContain(SAID);
    expect(result.stdout).toMatch(args.length === 1 ? /^web .* 3 /m : /\btwo\b/m);
  });

  test('as JSON the others are whole, and it is among what failed', async () => {
    withUnreadable('web');
    const result = await kvmsnap(['list', 'web', '--json']);
    expect(result.code).toBe(3);
    const [domain] = z.parse(DOCUMENTS.list, JSON.parse(result.stdout)).domains;
    expect(domain?.snapshots.map(({ name, parent }) => [name, parent])).toEqual([
      ['one', null],
      ['three', 'two'],
    ]);
    expect(domain?.failed).toMatchObject([
      { name: 'two', code: 'refused', message: expect.stringContaining(SAID) },
    ]);
    expect((await kvmsnap(['list', 'web', '-q'])).stdout).toBe('one\nthree\ntwo\n');
  });

  test.each(
    share(2, [
      [['info', 'web', 'one'], 3],
      [['info', 'web', 'two'], 1],
      [['hold', 'web', 'two'], 1],
      [['revert', 'web', 'two'], 1],
      [['current', 'web', '--json'], 3],
    ]),
  )('%j says so, exit %i', async (args, code) => {
    withUnreadable('web');
    const result = await kvmsnap(args);
    expect({ args, code: result.code }).toEqual({ args, code });
    expect(result.stderr).toContain(SAID);
  });

  test.each(
    share(3, [
      [['delete', 'web', 'one']],
      [['delete', 'web', 'three', '--children', '--yes']],
      [['delete', 'web', 'one', '--children', '--metadata', '--yes']],
      [['prune', 'web', '--match', '*', '--keep-last', '0', '--allow-empty']],
      [['prune', 'web', '--match', '*', '--free-min', '99%']],
      [['prune', 'web', '--match', '*', '--keep-last', '0', '--dry-run']],
      [['revert', 'web', 'one']],
      [['revert', 'web', 'one', '--force']],
    ]),
  )('%j does nothing to its VM, exit 1, with the command that shows the error', async (args) => {
    const vm = withUnreadable('web');
    const before = facts(vm);
    const stderr = await fail(1, ...args);
    expect(stderr).toContain(SAID);
    expect(stderr).toContain(`virsh snapshot-dumpxml --domain ${vm.uuid} --snapshotname two`);
    expect(facts(vm)).toEqual(before);
  });

  test('check --fix takes no tag for an orphan, and fixes nothing', async () => {
    const vm = withUnreadable('web');
    const before = facts(vm);
    const result = await kvmsnap(['check', 'web', '--fix', '--yes']);
    expect(result.code).toBe(5);
    expect(result.stdout).not.toContain('orphan-tag');
    expect(result.stdout).not.toContain('broken-parent');
    expect(facts(vm)).toEqual(before);
  });

  test('a prune of other VMs goes on; a new snapshot can be taken, and what would follow it is not done', async () => {
    const vm = withUnreadable('web');
    const other = defineVm({ name: 'db', disks: [{ size: '8M' }] });
    take(other, 'old');
    const rest = await kvmsnap([...'prune web db --match * --keep-last 0 --allow-empty'.split(' ')]);
    expect(rest).toMatchObject({ code: 3, stderr: expect.stringContaining(SAID) });
    expect(virsh('snapshot-list', '--domain', other.uuid, '--name').trim()).toBe('');
    await succeed('create-as', 'web', 'four');
    const pruned = await kvmsnap([...'create web --label n --keep-last 1'.split(' ')]);
    expect(pruned.code).toBe(3);
    const names = virsh('snapshot-list', '--domain', vm.uuid, '--name').split('\n').filter(Boolean);
    expect(names).toHaveLength(5);
  });
});
