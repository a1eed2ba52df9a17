import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { facts, failure, fitting, keeps, succeed, take, twoDisks, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

interface Found {
  readonly code: number | null;
  readonly findings: readonly {
    level: string;
    rule: string;
    what: string;
    snapshot: string | null;
    command: string | null;
    commands: readonly string[];
  }[];
  readonly snapshots: { running: boolean | null; off: boolean | null; external: boolean | null } | undefined;
}

/** What check says of one VM, which it must leave as it was. */
async function check(vm: Vm, ...options: string[]): Promise<Found> {
  const before = facts(vm);
  const { code, stdout } = await kvmsnap(['--json', 'check', vm.name, ...options]);
  expect(facts(vm)).toEqual(before);
  const [domain] = fitting('check', JSON.parse(stdout)).domains;
  return { code, findings: domain?.findings ?? [], snapshots: domain?.snapshots };
}

/** Registers the snapshot again as one that was taken so many seconds ago. */
function redate(vm: Vm, name: string, age: number): void {
  const past = Math.floor(Date.now() / 1000) - age;
  const file = join(scratch, 'past.xml');
  const xml = virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name);
  writeFileSync(file, xml.replace(/<creationTime>\d+/, `<creationTime>${past}`));
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', file, '--redefine', '--current');
}

const rules = ({ findings }: Found) => findings.map(({ rule, snapshot }) => [rule, snapshot]);

/** Runs the commands of the one finding, after which nothing is found any more. */
async function fix(vm: Vm, { findings }: Found): Promise<void> {
  expect(findings).toHaveLength(1);
  for (const command of findings[0]?.commands ?? [])
    if (command.startsWith('kvmsnap ')) await succeed('--yes', ...command.split(' ').slice(1));
    else pasteOk(command);
  expect(await check(vm)).toMatchObject({ code: 0, findings: [] });
}

describe('a VM', () => {
  test.each([false, true])('that is well, running: %s', async (running) => {
    const vm = defineVm({ name: 'well', disks: [{ size: '8M' }], boot: 'counter' });
    if (running) start(vm);
    for (const name of ['a', 'b']) take(vm, name);
    const found = await check(vm);
    expect(found).toMatchObject({ code: 0, snapshots: { running: true, off: true } });
    expect(rules(found)).toEqual(running ? [['no-guest-agent', null]] : []);
  });

  test('with a raw disk: what check says is what create says', async () => {
    const vm = defineVm({ name: 'raw', disks: [{ size: '8M', format: 'raw' }] });
    const found = await check(vm);
    // libvirt goes back to an external one from 9.9 on
    const external = since({ '7.0': false, '11.3': true });
    expect(found).toMatchObject({ code: 5, snapshots: { running: false, off: false, external } });
    expect((await kvmsnap(['check', 'raw'])).stdout.includes('create --external')).toBe(external);
    expect(rules(found)).toEqual([['not-qcow2', null]]);
    const { command } = await failure(5, 'create', 'raw');
    expect(found.findings[0]?.command).toBe(command);
  });

  test('whose image is gone', async () => {
    const vm = defineVm({ name: 'gone', disks: [{ size: '8M' }] });
    rmSync(pathOf(vm));
    const { stdout } = await kvmsnap(['--json', 'check', 'gone']);
    const [domain] = fitting('check', JSON.parse(stdout)).domains;
    expect(domain?.findings).toMatchObject([{ level: 'error', rule: 'broken-image' }]);
  });
});

describe('what libvirt believes and the disks do not hold', () => {
  test('a tag that libvirt does not know', async () => {
    const vm = twoDisks('orphan');
    take(vm, 'a');
    for (const { path } of vm.disks) tool('qemu-img', ['snapshot', '-c', "it's", path]);
    const found = await check(vm);
    expect(found.code).toBe(5);
    expect(rules(found)).toEqual([['orphan-tag', null]]);
    await fix(vm, found);
    expect(snapshotNames(vm)).toEqual(['a', "it's"]);
  });

  test('a snapshot that one disk has lost: check says what revert says', async () => {
    const vm = twoDisks('incomplete');
    write(vm, 1);
    for (const name of ['a', 'b']) take(vm, name);
    tool('qemu-img', ['snapshot', '-d', 'a', pathOf(vm, 1)]);
    const found = await check(vm);
    expect(rules(found)).toEqual([['missing-tag', 'a']]);
    expect(found.findings[0]?.command).toBe((await failure(5, 'revert', 'incomplete', 'a')).command);
    await fix(vm, found);
    expect(keeps(vm, 'b', 1)).toBe(true);
  });

  test('a snapshot that is in no disk', async () => {
    const vm = twoDisks('lost');
    for (const name of ['a', 'b']) take(vm, name);
    for (const { path } of vm.disks) tool('qemu-img', ['snapshot', '-d', 'a', path]);
    const found = await check(vm);
    expect(rules(found)).toEqual([['no-data', 'a']]);
    await fix(vm, found);
    expect(snapshotNames(vm)).toEqual(['b']);
  });

  test('two snapshots of one name inside an image', async () => {
    const vm = defineVm({ name: 'double', disks: [{ size: '8M' }] });
    take(vm, 'a');
    tool('qemu-img', ['snapshot', '-c', 'a', pathOf(vm)]);
    const found = await check(vm);
    expect(rules(found)).toEqual([['missing-tag', 'a']]);
    await fix(vm, found);
  });

  test('no current snapshot is information, which is no failure', async () => {
    const vm = defineVm({ name: 'lost', disks: [{ size: '8M' }] });
    for (const name of ['a', 'b']) take(vm, name);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'a');
    virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 'a');
    const found = await check(vm);
    expect(found.code).toBe(0);
    expect(found.findings).toMatchObject([{ level: 'information', rule: 'no-current' }]);
    pasteOk(found.findings[0]?.command ?? null);
    expect(await check(vm)).toMatchObject({ code: 0, findings: [] });
  });
});

test('what external snapshots have left beside the images is information, unless another VM uses it', async () => {
  const vm = defineVm({ name: 'beside', disks: [{ size: '8M' }] });
  const directory = dirname(pathOf(vm));
  start(vm);
  virsh('save', '--domain', vm.uuid, join(directory, 'old.mem'));
  const overlay = (name: string, below: string) =>
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', below, join(directory, name)]);
  overlay('vda.s1', pathOf(vm));
  overlay('vda.s2', 'vda.s1');
  overlay('clone.qcow2', pathOf(vm));
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', join(directory, 'other.qcow2'), '8M']);
  defineVm({ name: 'clone', disks: [{ source: join(directory, 'clone.qcow2') }] });
  overlay('below.qcow2', pathOf(vm));
  defineVm({ name: 'over', disks: [{ backing: join(directory, 'below.qcow2') }] });
  const found = await check(vm);
  expect(found.code).toBe(0);
  expect(found.findings.map(({ rule, command }) => [rule, command])).toEqual([
    ['used-by-others', null],
    ['unused-file', `rm ${join(directory, 'old.mem')}`],
    ['unused-file', 'kvmsnap merge beside'],
    ['unused-file', 'kvmsnap merge beside'],
  ]);
});

test('--max-age watches the cron job: of a label, or of all', async () => {
  const vm = defineVm({ name: 'aged', disks: [{ size: '8M' }] });
  expect(rules(await check(vm, '--max-age', '1h'))).toEqual([['too-old', null]]);
  await succeed('create', 'aged');
  expect(await check(vm, '--max-age', '1h')).toMatchObject({ code: 0, findings: [] });
  const { code, findings } = await check(vm, '--max-age', '1h', '--label', 'nightly');
  const [old] = findings;
  expect([code, findings.length, old?.what]).toEqual([
    5,
    1,
    'the VM has no snapshots with the label nightly, so none is younger than 1h',
  ]);
  pasteOk(old?.command ?? null);
  expect(await check(vm, '--max-age', '1h', '--label', 'nightly')).toMatchObject({ code: 0 });
});

test('limits: the oldest, the number, the space and the depth, each as CRIT or WARN:CRIT, but not what is on hold', async () => {
  const vm = defineVm({ name: 'kept', disks: [{ size: '64M' }] });
  for (const name of ['a', 'b', 'c']) {
    tool('qemu-io', ['-c', `write -P ${name.charCodeAt(0)} 0 4M`, pathOf(vm)]);
    take(vm, name);
    redate(vm, name, 3600 * (3 - 'abc'.indexOf(name)));
  }
  const limits = ['--oldest', '90min:150min', '--most', '2:9', '--holds', '1M', '--depth', '1'];
  const found = await check(vm, ...limits);
  expect(found.findings.map(({ level, rule, command }) => [level, rule, command])).toEqual([
    ['error', 'kept-too-long', 'kvmsnap delete kept a'],
    ['warning', 'too-many', 'kvmsnap delete kept a'],
    ['error', 'too-much-space', 'kvmsnap space --sort frees kept'],
  ]);
  expect(found.code).toBe(5);
  const csv = (await kvmsnap(['check', 'kept', ...limits, '-o', 'csv'])).stdout;
  expect(csv).toMatch(/^kept,error,kept-too-long,/m);
  await succeed('hold', 'kept', 'a');
  expect(await check(vm, '--oldest', '150min', '--most', '2')).toMatchObject({ code: 0, findings: [] });
  for (const name of ['b', 'c']) await succeed('hold', 'kept', name);
  expect(await check(vm, '--holds', '1M', '--most', '0')).toMatchObject({ code: 0, findings: [] });
});

test('--depth counts the overlays of a disk, but not those of snapshots on hold', async () => {
  const vm = defineVm({ name: 'deep', disks: [{ size: '8M' }] });
  for (const name of ['a', 'b']) virsh('snapshot-create-as', vm.uuid, name, '--disk-only');
  const { code, findings } = await check(vm, '--depth', '1:1');
  expect([code, findings.filter(({ rule }) => rule === 'too-deep')]).toMatchObject([
    5,
    [
      {
        level: 'error',
        command: 'kvmsnap delete deep a',
        what: 'disk vda has a chain of 2 overlays, more than 1',
      },
    ],
  ]);
  await succeed('hold', 'deep', 'a');
  const held = await check(vm, '--depth', '1:1');
  expect(held.findings.filter(({ rule }) => rule === 'too-deep')).toEqual([]);
});

test('--max-age 90m may be minutes or months, and is neither; 90min and 90mo are', async () => {
  const vm = defineVm({ name: 'aged', disks: [{ size: '8M' }] });
  take(vm, 'old');
  redate(vm, 'old', 100 * 60);
  for (const [span, expected] of [
    ['90m', 2],
    ['1h30m', 2],
    ['90min', 5],
    ['1h50min', 0],
    ['90mo', 0],
    ['2h', 0],
  ] as const)
    expect({ span, code: (await kvmsnap(['check', 'aged', '--max-age', span])).code }).toEqual({
      span,
      code: expected,
    });
  const prune = ['prune', 'aged', '--match', '*', '--dry-run', '-q', '--allow-empty', '--keep-within'];
  await succeed('create', 'aged');
  expect((await succeed(...prune, '90min')).stdout).toBe('old\n');
  expect((await succeed(...prune, '110min')).stdout).toBe('');
  for (const months of ['90m', '90mo']) expect((await succeed(...prune, months)).stdout).toBe('');
});

test('all VMs: each with its findings, the bad ones by name, and what fixes them', async () => {
  const good = defineVm({ name: 'good', disks: [{ size: '8M' }] });
  const bad = defineVm({ name: 'bad', disks: [{ size: '8M' }] });
  tool('qemu-img', ['snapshot', '-c', 'x', pathOf(bad)]);
  const table = await kvmsnap(['check']);
  expect(table.code).toBe(5);
  expect(table.stdout).toMatch(/^good +ok /m);
  expect(table.stdout).toMatch(/^bad +warning +orphan-tag +disk vda contains the snapshot x/m);
  expect(table.stdout).toContain('    kvmsnap check --fix bad\n');
  expect(table.stdout).not.toContain('qemu-img snapshot -d');
  expect(table.stderr).toBe(
    'error: 1 warning on 1 of 2 VMs\nhint: this fixes what can be fixed safely\n        kvmsnap check --fix bad\n',
  );
  expect(await kvmsnap(['check', '-q'])).toMatchObject({ code: 5, stdout: 'bad\n' });
  expect(await kvmsnap(['check', 'good', '-q'])).toMatchObject({ code: 0, stdout: '', stderr: '' });
  expect(state(good)).toBe('shut off');
  const { screen } = await onTerminal(['check', 'good'], { columns: 80 }).done;
  expect(screen).toContain('1 VM checked: no errors, no warnings');
});
