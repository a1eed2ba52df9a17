// Which VMs and which snapshots prune takes, judged by virsh and by the tags in the images.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { writableImages } from '../lab/evidence.ts';
import { scratch, tool } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { document, fail, failure, fitting, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { backdate, hourly, labeled, now, present, small, takeAt } from './dated.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

const DAY = 86_400;

describe('prune: which VMs', () => {
  const rule = ['--label', 'nightly', '--keep-last', '1'];

  /** VMs with two nightly snapshots each. */
  const fleet = (...names: string[]): Vm[] =>
    names.map((name) => {
      const vm = small(name);
      hourly(vm, 'nightly', 2);
      return vm;
    });
  const counts = (vms: readonly Vm[]) => vms.map((vm) => present(vm).length);

  test('one', async () => {
    const vms = fleet('web-1', 'web-2');
    const gone = snapshotNames(vms[0] as Vm)[0];
    expect((await succeed('prune', 'web-1', ...rule, '-q')).stdout).toBe(`${gone}\n`);
    expect(counts(vms)).toEqual([1, 2]);
    expect((await succeed('prune', 'web-1', ...rule, '-q')).stdout).toBe('');
  });

  test('several, and a pattern: names are VM/NAME', async () => {
    const vms = fleet('web-1', 'web-2', 'db');
    const [first, second] = vms.map((vm) => snapshotNames(vm)[0]);
    const { stdout } = await succeed('prune', 'web-1', 'web-*', ...rule, '-q');
    expect(stdout).toBe(`web-1/${first}\nweb-2/${second}\n`);
    expect(counts(vms)).toEqual([1, 1, 2]);
  });

  test('all but some, in some state', async () => {
    const vms = fleet('web-1', 'web-2', 'db', 'old-db');
    start(vms[0] as Vm);
    await succeed('prune', '--all', '--exclude', 'web-2', '--exclude', 'old*', '--state', 'shutoff', ...rule);
    expect(counts(vms)).toEqual([2, 2, 1, 2]);
    await succeed('prune', '--all', '--state', 'running', ...rule);
    expect(counts(vms)).toEqual([1, 2, 1, 2]);
    await succeed('prune', '--all', ...rule);
    expect(counts(vms)).toEqual([1, 1, 1, 1]);
  });

  test('none is exit 4, and nothing is deleted anywhere', async () => {
    const vms = fleet('web-1');
    expect(await fail(4, 'prune', 'db-*', ...rule)).toContain("'db-*'");
    expect(await fail(4, 'prune', 'wbe-1', ...rule)).toContain('did you mean web-1?');
    await fail(4, 'prune', '--all', '--exclude', '*', ...rule);
    await fail(4, 'prune', '--all', '--state', 'paused', ...rule);
    expect(counts(vms)).toEqual([2]);
  });

  test('no rule, no scope or no VM is exit 2, and nothing is deleted', async () => {
    const vms = fleet('web-1');
    await fail(2, 'prune', 'web-1', '--label', 'nightly');
    await fail(2, 'prune', 'web-1', '--label', 'nightly', '--allow-empty');
    await fail(2, 'prune', 'web-1', '--keep-last', '1');
    await fail(2, 'prune', ...rule);
    await fail(2, 'prune', '--all', 'web-1', ...rule);
    await fail(2, 'prune', '--all', '--state', 'off', ...rule);
    expect(counts(vms)).toEqual([2]);
  });

  test('reading twenty takes five processes of virsh, and reads images only where something would go', async () => {
    const vms = Array.from({ length: 20 }, (_, n) => small(`many-${n}`));
    for (const vm of vms) take(vm, labeled('nightly', now()));
    for (const vm of vms.slice(0, 3)) take(vm, labeled('nightly', now() + 1));
    const { stderr } = await succeed('-v', '--dry-run', 'prune', '--all', ...rule);
    const run = stderr.split('\n').filter((line) => line.startsWith('+ '));
    expect(run.filter((line) => line.startsWith('+ virsh ')).length).toBe(5);
    expect(run.filter((line) => line.startsWith('+ qemu-img info')).length).toBe(3);
    expect(run.filter((line) => line.startsWith('+ qemu-img map')).length).toBe(3);
  });
});

describe('prune: which snapshots', () => {
  test('a label that nobody carries is said: it may be a slip', async () => {
    const vms = ['one', 'two'].map((name) => defineVm({ name }));
    for (const vm of vms) take(vm, 'l-20261101T030000Z');
    const prune = ['prune', '--all', '--label', 'nightlyy', '--keep-last', '1'];
    const none = 'note: nothing to prune: no snapshot of these VMs has the label nightlyy';
    expect((await succeed(...prune)).stderr).toBe(`${none}\n`);
    expect((await succeed(...prune, '--match', 'x*')).stderr).toBe(`${none} or matches the pattern\n`);
    expect((await succeed(...prune, '--match', 'l-*')).stderr).toBe('');
    expect((await succeed(...prune, '--silent')).stderr).toBe('');
    expect((await succeed('prune', 'one', '--match', 'x*', '--keep-last', '1')).stderr).toBe(
      'note: nothing to prune: no snapshot of one matches the pattern\n',
    );
  });

  test('--match widens it, and alone is enough', async () => {
    const vm = small('wide');
    const [first = '', second = ''] = hourly(vm, 'nightly', 2);
    for (const name of ['by hand 1', 'by hand 2', 'other']) take(vm, name);
    await succeed('prune', 'wide', '--label', 'nightly', '--match', '*1', '--keep-last', '1');
    // the newest of all in the scope
    expect(present(vm)).toEqual(['by hand 1', 'by hand 2', 'other']);
    expect([first, second].some((name) => snapshotNames(vm).includes(name))).toBe(false);
    await succeed('prune', 'wide', '--match', 'by hand ?', '--keep', '*2');
    expect(present(vm)).toEqual(['by hand 2', 'other']);
  });

  test('one on hold stays whatever the rules, and goes when it is let go', async () => {
    const vm = small('held');
    const [first = '', second = '', third = ''] = hourly(vm, 'nightly', 3);
    await succeed('hold', 'held', first);
    const rule = ['--label', 'nightly', '--keep-last', '0', '--allow-empty'];
    const { domains } = await document('prune', 'prune', 'held', ...rule);
    expect(domains[0]?.snapshots.map(({ name, reasons, outcome }) => [name, reasons, outcome])).toEqual([
      [first, ['held'], 'kept'],
      [second, [], 'deleted'],
      [third, [], 'deleted'],
    ]);
    expect(present(vm)).toEqual([first]);
    await succeed('unhold', 'held', first);
    await succeed('prune', 'held', ...rule);
    expect(present(vm)).toEqual([]);
  });

  test('the newest stays, unless --allow-empty', async () => {
    const vm = small('guarded');
    const [, second = ''] = hourly(vm, 'nightly', 2);
    const rule = ['--label', 'nightly', '--keep', 'no such name'];
    const { domains } = await document('prune', 'prune', 'guarded', ...rule);
    expect(domains[0]?.snapshots.at(-1)).toMatchObject({ name: second, reasons: ['newest'], keep: true });
    expect(present(vm)).toEqual([second]);
    await succeed('prune', 'guarded', ...rule, '--allow-empty');
    expect(present(vm)).toEqual([]);
  });

  test('one dated in the future stays, and guards nobody', async () => {
    const vm = small('future');
    const [first = '', second = ''] = hourly(vm, 'nightly', 2);
    const later = takeAt(vm, 'nightly', now() + DAY);
    await succeed('prune', 'future', '--label', 'nightly', '--keep-last', '1');
    expect(present(vm)).toEqual([second, later]);
    expect(first).not.toBe('');
  });

  test('an external one stays where this libvirt would refuse, or lose another with it, and is said so', async () => {
    const vm = small('external');
    start(vm);
    const name = labeled('nightly', now() - DAY);
    take(vm, name, '--disk-only');
    take(vm, 'by-hand');
    const args = ['external', '--label', 'nightly', '--keep-last', '0', '--allow-empty'];
    const cannot = since({
      '7.0': 'this libvirtd (before 9.0)',
      '9.0': 'contains the internal snapshot by-hand',
    });
    const { domains } = await document('prune', 'prune', ...args);
    expect(domains[0]?.snapshots).toMatchObject([
      { name, keep: true, reasons: [expect.stringContaining(cannot)] },
    ]);
    expect(snapshotNames(vm).sort()).toEqual([name, 'by-hand'].sort());

    await succeed('delete', 'external', 'by-hand');
    expect((await succeed('prune', ...args, '--dry-run')).stdout).toContain(
      since({ '7.0': 'kept', '9.0': 'to be deleted' }),
    );
    await succeed('prune', ...args);
    expect(snapshotNames(vm)).toEqual(since({ '7.0': [name], '9.0': [] }));
    expect(writableImages(vm)).toEqual(since({ '7.0': writableImages(vm), '9.0': [pathOf(vm)] }));
  });

  test('the memory files of external ones that libvirt leaves are named, and go with --leftovers', async () => {
    const vm = small('memory');
    start(vm);
    const names = [4, 3, 2, 1].map((days) => labeled('nightly', now() - days * DAY));
    const memory = (name = '') => join(dirname(pathOf(vm)), `${name}.memory`);
    for (const name of names) {
      take(vm, name, '--memspec', memory(name));
      backdate(vm, name, now());
    }
    const prune = async (keep: number, ...options: string[]) => {
      const rules = ['--match', 'nightly-*', '--keep-last', String(keep), ...options];
      const { domains } = await document('prune', 'prune', 'memory', ...rules);
      return domains[0]?.leftovers.map(({ path, removed }) => ({ path, removed }));
    };
    const left = (path: string, removed: boolean) =>
      since({ '7.0': [], '9.0': [{ path, removed }], '11.3': [] });
    const isThere = () => names.map(memory).map((path) => existsSync(path));

    expect(await prune(3)).toEqual(left(memory(names[0]), false));
    const first = since({ '7.0': true, '9.0': true, '11.3': false });
    expect(isThere()).toEqual([first, true, true, true]);
    expect(await prune(2, '--leftovers')).toEqual(left(memory(names[1]), true));
    const rest = since({ '7.0': true, '9.0': false });
    expect(isThere()).toEqual([first, rest, true, true]);
    if (since({ '7.0': true, '9.0': false })) return; // it deletes no external ones, so none is taken with a label
    // the prune after a create, and the one for space, which is never reached
    const after = await document(
      'create',
      ...['create', 'memory', '--external', '--disk-only', '--label', 'nightly', '--keep-last', '2'],
      ...['--leftovers', '--force'],
    );
    expect(after.domains[0]?.leftovers).toMatchObject(left(memory(names[2]), true));
    expect(isThere()).toEqual([first, rest, rest, true]);
    const rules = ['--match', 'nightly-*', '--keep-last', '1', '--free-min', '99%', '--leftovers'];
    const { stdout } = await kvmsnap(['--json', 'prune', 'memory', ...rules]);
    expect(fitting('prune', JSON.parse(stdout)).domains[0]?.leftovers).toMatchObject(
      left(memory(names[3]), true),
    );
    expect(isThere()).toEqual([first, rest, rest, rest]);
    expect(state(vm)).toBe('running');
  });

  test('--dry-run shows what and why, in every format, and deletes nothing', async () => {
    const vms = ['dry-1', 'dry-2'].map(small);
    const names = vms.map((vm) => hourly(vm, 'nightly', 3));
    const [first = [], second = []] = names;
    const args = [
      '--dry-run',
      'prune',
      'dry-*',
      '--label',
      'nightly',
      '--keep-last',
      '1',
      '--keep',
      first[1] ?? '',
    ];
    const { domains, dryRun } = await document('prune', ...args);
    expect(dryRun).toBe(true);
    expect(domains.map(({ name, snapshots }) => [name, snapshots.map(({ outcome }) => outcome)])).toEqual([
      ['dry-1', ['to be deleted', 'kept', 'kept']],
      ['dry-2', ['to be deleted', first[1] === second[1] ? 'kept' : 'to be deleted', 'kept']],
    ]);
    const table = (await succeed(...args)).stdout;
    expect(table).toMatch(/VM +NAME +CREATED +RESULT +FREES +WHY/);
    expect(table).toMatch(new RegExp(`dry-1 +${first[0]} .* to be deleted`));
    expect(table).toMatch(new RegExp(`dry-1 +${first[1]} .* kept +- +name`));
    expect(table).toMatch(new RegExp(`dry-1 +${first[2]} .* kept +- +last`));
    const csv = (await succeed('-o', 'csv', ...args)).stdout.trimEnd().split(/\r?\n/);
    expect(csv[0]).toBe('machine,name,createdAt,outcome,freesBytes,reasons,error');
    expect(csv).toHaveLength(1 + 6);
    expect(csv[1]).toMatch(new RegExp(`^dry-1,${first[0]},[^,]+,to be deleted,\\d+,,$`));
    expect((await succeed('-q', ...args)).stdout.split('\n')[0]).toBe(`dry-1/${first[0]}`);
    expect(vms.map(present)).toEqual(names);
  });

  test('one that cannot be deleted is said, and the others go on', async () => {
    const vms = ['dup-1', 'dup-2'].map(small);
    const [bad, good] = vms as [Vm, Vm];
    const [first = '', second = '', third = ''] = hourly(bad, 'nightly', 3);
    const [, kept = ''] = hourly(good, 'nightly', 2);
    tool('qemu-img', ['snapshot', '-c', first, pathOf(bad)]);
    const rule = ['--label', 'nightly', '--keep-last', '1'];

    const json = await kvmsnap(['--json', 'prune', 'dup-*', ...rule]);
    expect(json.code).toBe(3);
    const { domains } = z.parse(DOCUMENTS.prune, JSON.parse(json.stdout));
    expect(domains.map(({ snapshots }) => snapshots.map(({ outcome }) => outcome))).toEqual([
      ['failed', 'deleted', 'kept'],
      ['deleted', 'kept'],
    ]);
    expect(z.parse(DOCUMENTS.error, JSON.parse(json.stderr)).error).toMatchObject({
      code: 'partial',
      message: '1 of 2 VMs failed',
    });
    expect(snapshotNames(bad).sort()).toEqual([first, third]);
    expect(snapshotNames(bad)).not.toContain(second);
    expect(present(good)).toEqual([kept]);

    // now it is the only one to go: its own cause, said once, with what fixes it
    const alone = await kvmsnap(['prune', 'dup-1', ...rule]);
    expect(alone.code).toBe(5);
    expect(alone.stderr.match(/error: /g)).toHaveLength(1);
    expect(alone.stderr).toMatch(
      /hint: delete the older one first, while the VM is off\n +qemu-img snapshot -d/,
    );
    const { command } = await failure(5, 'prune', 'dup-1', ...rule);
    tool('sh', ['-ec', command ?? '']);
    await succeed('prune', 'dup-1', ...rule);
    expect(present(bad)).toEqual([third]);
  });
});
