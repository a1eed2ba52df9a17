// Labels, retention and prune on a real libvirtd, judged by virsh and by the tags in the images.

import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { writableImages } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { created, document, fail, failure, fitting, succeed, tagNames, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

const DAY = 86_400;

const small = (name: string): Vm => defineVm({ name, disks: [{ size: '8M' }] });

/** Both what libvirt knows and what the first image holds, which must be the same. */
function present(vm: Vm): string[] {
  const names = snapshotNames(vm);
  expect([...(tagNames(vm)[0] ?? [])].sort()).toEqual([...names].sort());
  return names.sort();
}

/** The name that `create --label` would have given at that moment. */
const labeled = (label: string, seconds: number): string =>
  `${label}-${new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '')}`;

/** Changes when a snapshot was taken, as far as libvirt knows. */
function backdate(vm: Vm, name: string, seconds: number): void {
  const xml = snapshotXml(vm, name).replace(/<creationTime>\d+/, `<creationTime>${seconds}`);
  const file = join(mkdtempSync(join(scratch, 'redefine-')), 'snapshot.xml');
  writeFileSync(file, xml);
  const current = currentSnapshot(vm) === name ? ['--current'] : [];
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', file, '--redefine', ...current);
  expect(snapshotXml(vm, name)).toContain(`<creationTime>${seconds}<`);
}

/** A snapshot as a schedule took it at that moment; returns its name. */
function takeAt(vm: Vm, label: string, seconds: number): string {
  const name = labeled(label, seconds);
  take(vm, name);
  backdate(vm, name, seconds);
  return name;
}

const now = () => Math.floor(Date.now() / 1000);

/** `count` snapshots of a label, an hour apart, the oldest first. */
function hourly(vm: Vm, label: string, count: number): string[] {
  const first = now() - count * 3600;
  return Array.from({ length: count }, (_, n) => takeAt(vm, label, first + n * 3600));
}

describe('create --label', () => {
  test('names by label and time in UTC, and those of one second differ', async () => {
    const vm = small('named');
    const before = now();
    const runs = await Promise.all(
      [1, 2, 3].map(() => succeed('create', 'named', '--label', 'nightly', '-q')),
    );
    const names = runs.map(({ stdout }) => stdout.trimEnd());
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(/^nightly-\d{8}T\d{6}Z(-[23])?$/);
    expect(names.map((name) => name.slice(0, 24)).every((name) => name >= labeled('nightly', before))).toBe(
      true,
    );
    expect(present(vm)).toEqual(names.sort());
  });

  test('takes the next free name when the second is taken', async () => {
    const vm = small('taken');
    const first = now();
    const soon = Array.from({ length: 20 }, (_, n) => labeled('nightly', first + n));
    for (const name of soon) tool('qemu-img', ['snapshot', '-c', name, pathOf(vm)]);
    const name = (await succeed('create', 'taken', '--label', 'nightly', '-q')).stdout.trimEnd();
    expect(soon.map((each) => `${each}-2`)).toContain(name);
    expect(snapshotNames(vm)).toEqual([name]);
  });

  test('prunes after success, that label only, and nothing made by hand', async () => {
    const vm = small('web');
    const old = hourly(vm, 'web', 3);
    const others = [
      ...hourly(vm, 'web-db', 2),
      ...['web', 'web-', 'by hand', '1649751390', 'web-20261123'].map((name) => {
        take(vm, name);
        return name;
      }),
    ];
    const { snapshot, pruned } = await created('web', '--label', 'web', '--keep-last', '2');
    expect(pruned.map(({ name, keep, outcome, reasons }) => [name, keep, outcome, reasons])).toEqual([
      [old[0], false, 'deleted', []],
      [old[1], false, 'deleted', []],
      [old[2], true, 'kept', ['last']],
      [snapshot.name, true, 'kept', ['just taken', 'last']],
    ]);
    expect(present(vm)).toEqual([...others, old[2] ?? '', snapshot.name].sort());
    expect(currentSnapshot(vm)).toBe(snapshot.name);
  });

  test('without a rule nothing is pruned', async () => {
    const vm = small('unruled');
    const old = hourly(vm, 'nightly', 3);
    const { snapshot, pruned } = await created('unruled', '--label', 'nightly');
    expect(pruned).toEqual([]);
    expect(present(vm)).toEqual([...old, snapshot.name].sort());
  });

  test('a running VM too: its memory goes with what is pruned', async () => {
    const vm = defineVm({ name: 'running', disks: [{ size: '8M' }], boot: 'counter' });
    start(vm);
    const names: string[] = [];
    for (const _ of [1, 2, 3]) {
      const { stdout } = await succeed('create', 'running', '--label', 'nightly', '--keep-last', '1', '-q');
      names.push(stdout.trimEnd());
    }
    const last = names.at(-1) ?? '';
    expect(present(vm)).toEqual([last]);
    expect(tags(pathOf(vm))[0]?.vmStateSize).toBeGreaterThan(0);
  });

  test('never prunes the one just taken, however quickly they follow each other', async () => {
    const vm = small('quick');
    for (const _ of [1, 2, 3, 4, 5]) {
      const { snapshot } = await created('quick', '--label', 'nightly', '--keep-last', '1');
      expect(present(vm)).toEqual([snapshot.name]);
    }
  });

  test('a failed create prunes nothing', async () => {
    const vm = defineVm({ name: 'raw', disks: [{ size: '8M' }] });
    const old = hourly(vm, 'nightly', 3);
    const raw = join(scratch, 'raw.img');
    tool('qemu-img', ['create', '-q', '-f', 'raw', raw, '1M']);
    virsh('attach-disk', '--domain', vm.uuid, '--config', raw, 'vdb', '--subdriver', 'raw');
    await fail(5, 'create', 'raw', '--label', 'nightly', '--keep-last', '1');
    expect(present(vm)).toEqual(old);
  });

  test.each([
    [['--label', 'two words', '--keep-last', '1']],
    [['--label', 'nightly-20261123T030000Z', '--keep-last', '1']],
    [['--keep-last', '1']],
    [['--label', 'nightly', '--keep-within', '3 days']],
    [['--label', 'nightly', '--keep-last', '-1']],
    [['--label', 'nightly', '--keep-last', 'all']],
  ])('a wrong %j is exit 2 and does nothing', async (options) => {
    const vm = small('usage');
    const old = hourly(vm, 'nightly', 2);
    await fail(2, 'create', 'usage', ...options);
    expect(present(vm)).toEqual(old);
  });

  test('a prune that fails is exit 3: the snapshot is there, the others went, and it says which did not', async () => {
    const vm = small('half');
    const old = hourly(vm, 'nightly', 3);
    tool('qemu-img', ['snapshot', '-c', old[0] ?? '', pathOf(vm)]);
    const { code, stdout, stderr } = await kvmsnap([
      'create',
      'half',
      '--label',
      'nightly',
      '--keep-last',
      '1',
      '-q',
    ]);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    expect(stderr).toContain(`contains 2 snapshots named ${old[0]}`);
    expect(stderr).toContain('1 of 4 steps failed');
    expect(snapshotNames(vm).sort()).toEqual([old[0] ?? '', stdout.trimEnd()]);
  });

  test('its dry run counts the one about to be made, and does nothing', async () => {
    const vm = small('dry');
    const old = hourly(vm, 'nightly', 2);
    const args = ['--dry-run', 'create', 'dry', '--label', 'nightly', '--keep-last', '2'];
    const { domains, commands } = await document('dry-run', ...args);
    const { pruned = [] } = domains?.[0] ?? {};
    expect(pruned.map(({ name, outcome }) => [name, outcome])).toEqual([
      [old[0], 'to be deleted'],
      [old[1], 'kept'],
      [expect.stringMatching(/^nightly-\d{8}T\d{6}Z$/), 'kept'],
    ]);
    expect(commands).toEqual([expect.stringContaining(`--name ${pruned[2]?.name}`)]);
    const { stdout } = await succeed(...args);
    expect(stdout).toMatch(/^virsh .*snapshot-create-as /);
    expect(stdout).toContain('to be deleted');
    expect(present(vm)).toEqual(old);
  });
});

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
    const none = "note: nothing to prune: no snapshot of these VMs has the label 'nightlyy'";
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

describe('rules of the calendar', () => {
  /** What a prune says with this time zone, wherever the test runs. */
  async function planIn(TZ: string, ...args: string[]) {
    const { stdout } = await kvmsnap(['--json', ...args], { env: { TZ } });
    return z.parse(DOCUMENTS.prune, JSON.parse(stdout)).domains;
  }

  test('twenty days, a snapshot each noon and each evening: days and weeks', async () => {
    const vm = small('calendar');
    // 2020-11-03 was a Tuesday; the last day, 2020-11-22, a Sunday
    const at = (day: number, hour: number) => Date.UTC(2020, 10, day, hour) / 1000;
    const days = Array.from({ length: 20 }, (_, n) => n + 3);
    const noons: string[] = [];
    // in the order of time: a snapshot is newer than those that it descends from, whatever its date
    const evenings = days.map((day) => {
      if ([5, 15, 22].includes(day)) noons.push(takeAt(vm, 'nightly', at(day, 12)));
      return takeAt(vm, 'nightly', at(day, 20));
    });
    const evening = (day: number): string => evenings[day - 3] ?? '';

    const domains = await planIn(
      'UTC',
      '--dry-run',
      'prune',
      'calendar',
      '--label',
      'nightly',
      '--keep-daily',
      '3',
      '--keep-weekly',
      '2',
    );
    expect(
      domains[0]?.snapshots.filter(({ keep }) => keep).map(({ name, reasons }) => [name, reasons]),
    ).toEqual([
      [evening(15), ['weekly 2020-W46']],
      [evening(20), ['daily 2020-11-20']],
      [evening(21), ['daily 2020-11-21']],
      [evening(22), ['daily 2020-11-22', 'weekly 2020-W47']],
    ]);
    expect(present(vm)).toEqual([...evenings, ...noons].sort());

    const { code, stdout, stderr } = await kvmsnap(
      ['prune', 'calendar', '--label', 'nightly', '--keep-daily', '3', '--keep-weekly', '2', '-q'],
      { env: { TZ: 'UTC' } },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const kept = [15, 20, 21, 22].map(evening);
    expect(present(vm)).toEqual(kept);
    // oldest first
    expect(stdout.trimEnd().split('\n')).toEqual(
      [...evenings, ...noons].filter((name) => !kept.includes(name)).sort(),
    );
  });

  test('a day is that of the local clock', async () => {
    const vm = small('zones');
    const at = (day: number, hour: number) => Date.UTC(2020, 10, day, hour) / 1000;
    const [first = '', second = ''] = [at(10, 14), at(10, 16)].map((when) => takeAt(vm, 'nightly', when));
    const plan = async (zone: string) => {
      const domains = await planIn(
        zone,
        '--dry-run',
        'prune',
        'zones',
        '--label',
        'nightly',
        '--keep-daily',
        '2',
      );
      return domains[0]?.snapshots.map(({ name, reasons }) => [name, reasons]);
    };
    expect(await plan('UTC')).toEqual([
      [first, []],
      [second, ['daily 2020-11-10']],
    ]);
    // midnight in Tokyo is 15:00 UTC
    expect(await plan('Asia/Tokyo')).toEqual([
      [first, ['daily 2020-11-10']],
      [second, ['daily 2020-11-11']],
    ]);
  });

  test('--keep-within counts back from the newest, not from now: a stopped job keeps its history', async () => {
    const vm = small('stopped');
    const at = (day: number) => Date.UTC(2020, 0, day, 3) / 1000;
    const names = [1, 5, 9, 10].map((day) => takeAt(vm, 'nightly', at(day)));
    await succeed('prune', 'stopped', '--label', 'nightly', '--keep-within', '3d');
    expect(present(vm)).toEqual(names.slice(2));
  });
});
