// hold, unhold and describe on a real libvirtd: of all that libvirt keeps of a snapshot, only the description changes.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { scratch, virsh } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { count, countTo, document, failure, succeed, take, takeHalf, twoDisks } from '../scene/steps.ts';
import { cleanUp, continueQemu, defineVm, start, state } from '../scene/vm.ts';
import { described, facts, family, HOLD, undescribed, wholeXml } from './described.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('hold and unhold', () => {
  test('of each in a tree: a last line of its description, and gone again', async () => {
    const vm = family('held');
    const before = facts(vm);
    const xmls = snapshotNames(vm).map((name) => wholeXml(vm, name));
    for (const name of snapshotNames(vm)) {
      const { snapshot } = await document('current', 'hold', 'held', name);
      expect(snapshot.held).toBe(true);
    }
    expect(snapshotNames(vm).map((name) => described(wholeXml(vm, name)))).toEqual([
      HOLD,
      `the last\n\n${HOLD}`,
      HOLD,
      `the first\n\n${HOLD}`,
    ]);
    expect(facts(vm)).toEqual(before);
    await succeed('describe', 'held', 'root', 'another');
    expect(described(wholeXml(vm, 'root'))).toBe(`another\n\n${HOLD}`);
    await succeed('describe', 'held', 'root', 'the first');
    const { domains } = await document('list', 'list', 'held');
    expect(domains[0]?.snapshots.map(({ held }) => held)).toEqual([true, true, true, true]);
    for (const name of snapshotNames(vm)) await succeed('unhold', 'held', name);
    expect(snapshotNames(vm).map((name) => wholeXml(vm, name))).toEqual(xmls);
    expect(facts(vm)).toEqual(before);
  });

  test('twice is once, and does nothing the second time', async () => {
    const vm = twoDisks('twice');
    take(vm, 'one');
    await succeed('hold', 'twice', 'one');
    const { stderr } = await succeed('-v', 'hold', 'twice', 'one');
    expect(stderr).not.toContain('snapshot-create');
    expect(described(wholeXml(vm, 'one'))).toBe(HOLD);
    expect((await document('dry-run', 'hold', 'twice', 'one', '--dry-run')).commands).toEqual([]);
    expect((await succeed('info', 'twice', 'one')).stdout).toMatch(
      /^held +yes: neither delete nor prune removes it$/m,
    );
    await succeed('unhold', 'twice', 'one');
    expect((await succeed('info', 'twice', 'one')).stdout).not.toContain('held');
    expect((await succeed('-v', 'unhold', 'twice', 'one')).stderr).not.toContain('snapshot-create');
    expect(wholeXml(vm, 'one')).not.toContain('<description');
  });

  test('a password in the stored definition stays', async () => {
    const vm = defineVm({
      name: 'secret',
      extraDevicesXml: "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cr3t&amp;'/>",
    });
    take(vm, 'one');
    const before = wholeXml(vm, 'one');
    expect(before).toContain("passwd='s3cr3t&amp;'");
    await succeed('hold', 'secret', 'one');
    expect(undescribed(wholeXml(vm, 'one'))).toBe(before);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'one');
    expect(virsh('dumpxml', '--domain', vm.uuid, '--inactive', '--security-info')).toContain(
      "passwd='s3cr3t&amp;'",
    );
  });

  test('of a VM that runs on: its memory is still there to go back to', async () => {
    const vm = twoDisks('running', { boot: 'counter' });
    start(vm);
    await countTo(vm, 20);
    take(vm, 'then');
    const then = count(vm);
    const before = [snapshotNames(vm).map((name) => wholeXml(vm, name)), currentSnapshot(vm)];
    await succeed('describe', 'running', 'then', 'with "memory"');
    await succeed('hold', 'running', 'then');
    expect(state(vm)).toBe('running');
    expect([[undescribed(wholeXml(vm, 'then'))], currentSnapshot(vm)]).toEqual(before);
    await countTo(vm, then + 120);
    await succeed('revert', 'running', 'then');
    expect(count(vm)).toBeLessThan(then + 120);
    expect(state(vm)).toBe('running');
    expect(described(wholeXml(vm, 'then'))).toBe(`with "memory"\n\n${HOLD}`);
    await succeed('unhold', 'running', 'then');
    await succeed('delete', 'running', 'then');
    expect(snapshotNames(vm)).toEqual([]);
  });

  test('is still there when libvirtd was started anew', async () => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'middle');
    const before = [facts(vm), wholeXml(vm, 'middle')];
    await killLibvirtd('SIGTERM');
    await startLibvirtd();
    expect([facts(vm), wholeXml(vm, 'middle')]).toEqual(before);
  });

  test('one that is still being taken is busy, and is left alone', async () => {
    const vm = twoDisks('busy', { boot: 'counter' });
    start(vm);
    await countTo(vm, 1);
    const { done } = await takeHalf(vm, 'half');
    try {
      expect((await failure(7, 'hold', 'busy', 'half')).code).toBe('busy');
      expect((await failure(7, 'describe', 'busy', 'half', 'text')).code).toBe('busy');
    } finally {
      continueQemu(vm);
    }
    await done;
    expect(wholeXml(vm, 'half')).not.toContain('<description');
    await succeed('hold', 'busy', 'half');
    expect(described(wholeXml(vm, 'half'))).toBe(HOLD);
  });
});
