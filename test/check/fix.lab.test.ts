// check --fix on a real libvirtd: what it fixes must work afterwards, and what it does not touch must be as it was.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { pasteOk } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import {
  allClean,
  asked,
  bytes,
  count,
  countTo,
  document,
  facts,
  fitting,
  succeed,
  tagNames,
  take,
  takeHalf,
  twoDisks,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  pathOf,
  start,
  state,
  stateAndReason,
  type Vm,
} from '../scene/vm.ts';

// what is kept before a change is no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);
afterAll(cleanUp);

/** Fixes one VM; hands back the exit code, the steps and what is left. */
async function fix(vm: Vm, ...options: string[]) {
  const { code, stdout, stderr } = await kvmsnap(['--json', 'check', vm.name, '--fix', '--yes', ...options]);
  if (stdout === '') throw new Error(stderr);
  const [domain] = fitting('check', JSON.parse(stdout)).domains;
  const { fixes = [], findings = [] } = domain ?? {};
  return {
    code,
    steps: fixes.map(({ action, snapshot, outcome }) => [action, snapshot, outcome]),
    // there is none in any of these guests
    left: findings
      .filter(({ rule }) => rule !== 'no-guest-agent')
      .map(({ rule, snapshot }) => [rule, snapshot]),
    fixes,
  };
}

/** A second run has nothing to do. */
async function isFixed(vm: Vm): Promise<void> {
  const before = facts(vm);
  expect(await fix(vm)).toMatchObject({ code: 0, steps: [] });
  expect(facts(vm)).toEqual(before);
}

const revert = (vm: Vm, name: string) =>
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name);

describe('a VM whose definition was lost while it ran', () => {
  /** Three snapshots, the middle one with memory, of which libvirt knows nothing any more. */
  async function forgotten(name: string): Promise<Vm> {
    const vm = twoDisks(name, {
      boot: 'counter',
      disks: [{ size: '16M' }, { size: '16M' }, { device: 'cdrom', source: null }],
      extraDevicesXml: "<graphics type='vnc' passwd='s3cr3t&amp;'><listen type='socket'/></graphics>",
    });
    const disks = vm.disks.filter(({ path }) => path !== '');
    const seen = { ...vm, disks };
    write(seen, 1);
    take(vm, 'first');
    start(vm);
    await countTo(vm, 5);
    writeAsGuest(seen, 2);
    take(vm, 'running');
    destroy(vm);
    write(seen, 3);
    take(vm, 'last');
    write(seen, 4);
    const file = join(mkdtempSync(join(scratch, 'lost-')), 'VM.xml');
    writeFileSync(file, virsh('dumpxml', '--domain', vm.uuid, '--inactive', '--security-info'));
    start(vm);
    virsh('undefine', '--domain', vm.uuid, '--snapshots-metadata');
    destroy(vm);
    virsh('define', file);
    expect(snapshotNames(vm)).toEqual([]);
    return seen;
  }

  test('knows its snapshots again, and each of them can be gone back to and deleted', async () => {
    const vm = await forgotten('web-1');
    const before = facts(vm);
    // in a script, nothing without --yes
    const declined = await kvmsnap(['check', 'web-1', '--fix']);
    expect([declined.code, declined.stderr]).toEqual([
      10,
      expect.stringContaining('register the snapshot running'),
    ]);
    expect(facts(vm)).toEqual(before);

    expect(await fix(vm)).toMatchObject({
      code: 0,
      steps: ['first', 'running', 'last'].map((name) => ['adopt', name, 'done']),
      left: [['no-current', null]],
    });
    const { domains } = await document('list', 'list', 'web-1');
    expect(domains[0]?.snapshots).toMatchObject([
      { name: 'first', parent: null, state: 'shutoff', vmStateBytes: 0 },
      { name: 'running', parent: 'first', state: 'running', vmStateBytes: expect.any(Number) },
      {
        name: 'last',
        parent: 'running',
        description: expect.stringMatching(/^Registered by kvmsnap on .* Assumed: /),
      },
    ]);
    expect([bytes(vm), tagNames(vm)]).toEqual([before.bytes, before.tags]);
    expect(virsh('dumpxml', '--domain', vm.uuid, '--inactive')).toBe(before.definition);
    await isFixed(vm);

    await succeed('info', 'web-1', 'running');
    await succeed('revert', 'web-1', 'running', '--yes');
    expect(state(vm)).toBe('running');
    expect(count(vm)).toBeGreaterThanOrEqual(5);
    expect(bytes(vm)).toEqual([2, 2]);
    for (const [name, byte] of [
      ['first', 1],
      ['last', 3],
    ] as const) {
      await succeed('revert', 'web-1', name, '--yes');
      expect([state(vm), bytes(vm)]).toEqual(['shut off', [byte, byte]]);
    }
    expect(virsh('dumpxml', '--domain', vm.uuid, '--inactive', '--security-info')).toContain('s3cr3t&amp;');
    await succeed('delete', 'web-1', 'first', 'running', 'last');
    expect(tagNames(vm)).toEqual([[], []]);
    expect(allClean(vm)).toBe(true);
  });

  test('a dry run changes nothing, and its lines do it when pasted', async () => {
    const vm = await forgotten('dry');
    const before = facts(vm);
    const { commands, domains } = await document('dry-run', '--dry-run', 'check', 'dry', '--fix');
    expect(facts(vm)).toEqual(before);
    expect(domains?.[0]?.fixes).toMatchObject(
      commands.map((command) => ({ commands: [command], outcome: 'planned' })),
    );
    for (const command of commands) pasteOk(command);
    expect(snapshotNames(vm).sort()).toEqual(['first', 'last', 'running']);
    await isFixed(vm);
  });
});

test('halves and twins go where it is proven which they are, and what no disk holds is forgotten', async () => {
  const vm = twoDisks('incomplete');
  for (const { path } of vm.disks) tool('qemu-img', ['snapshot', '-c', 'twin', path]);
  const [first = '', second = ''] = vm.disks.map(({ path }) => path);
  tool('sleep', ['1.1']); // a tag's date has seconds
  write(vm, 1);
  for (const name of ['base', 'twin', 'gone']) take(vm, name);
  write(vm, 2);
  tool('qemu-img', ['snapshot', '-c', 'half', second]);
  for (const path of [first, second]) tool('qemu-img', ['snapshot', '-d', 'gone', path]);
  const gone = virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', 'gone', '--security-info');

  const fixed = await fix(vm);
  expect(fixed).toMatchObject({
    code: 0,
    steps: [
      ['forget', 'gone', 'done'],
      ['delete-tag', 'twin', 'done'],
      ['delete-tag', 'twin', 'done'],
      ['delete-tag', 'half', 'done'],
    ],
    left: [],
  });
  expect(readFileSync(fixed.fixes[0]?.backup ?? '', 'utf8')).toBe(gone.replace(/\n$/, ''));
  expect(tagNames(vm)).toEqual([
    ['base', 'twin'],
    ['base', 'twin'],
  ]);
  expect([snapshotNames(vm), currentSnapshot(vm)]).toEqual([['base', 'twin'], 'twin']);
  expect([bytes(vm), allClean(vm)]).toEqual([[2, 2], true]);
  await isFixed(vm);
  revert(vm, 'twin');
  expect(bytes(vm)).toEqual([1, 1]);
});

test('what is not proven is left alone, and said', async () => {
  const vm = twoDisks('unclear');
  const [first = '', second = ''] = vm.disks.map(({ path }) => path);
  // the second disk may have come to the VM later
  tool('qemu-img', ['snapshot', '-c', 'alone', first]);
  take(vm, 'a');
  // the right one is the older: qemu-img would delete that
  tool('sleep', ['1.1']);
  tool('qemu-img', ['snapshot', '-c', 'a', second]);
  const before = facts(vm);
  const { code, steps, left } = await fix(vm);
  expect({ code, steps }).toEqual({ code: 5, steps: [] });
  expect(left).toEqual([
    ['orphan-tag', null],
    ['missing-tag', 'a'],
  ]);
  expect(facts(vm)).toEqual(before);
  // while it runs its images are QEMU's
  start(vm);
  expect(await fix(vm)).toMatchObject({ code: 5, steps: [] });
  expect(pathOf(vm)).toBe(first);
});

test('a VM left paused by a save that has ended is resumed, and its tag is known again', async () => {
  const vm = twoDisks('left', { boot: 'counter' });
  start(vm);
  await countTo(vm, 3);
  take(vm, 'half');
  virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 'half', '--metadata');
  virsh('suspend', '--domain', vm.uuid);
  // as a libvirtd leaves it that is killed in the middle of a save
  await killLibvirtd();
  const states = isSystemLab ? '/run/libvirt/qemu' : `${process.env['XDG_RUNTIME_DIR']}/libvirt/qemu/run`;
  const file = join(states, 'left.xml');
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace("state='paused' reason='user'", "state='paused' reason='save'"),
  );
  await startLibvirtd();
  await waitFor(() => stateAndReason(vm) === 'paused (saving)', { what: 'the state' });
  const before = count(vm);
  expect(await fix(vm)).toMatchObject({
    code: 0,
    steps: [
      ['resume', null, 'done'],
      ['adopt', 'half', 'done'],
    ],
  });
  expect(state(vm)).toBe('running');
  await countTo(vm, before + 2);
  await isFixed(vm);
  revert(vm, 'half');
  expect(state(vm)).toBe('running');
});

test('a step that fails stops no other', async () => {
  const vm = twoDisks('partly');
  const [first = '', second = ''] = vm.disks.map(({ path }) => path);
  take(vm, 'a');
  tool('sleep', ['1.1']); // a tag's date has seconds
  for (const path of [first, second]) tool('qemu-img', ['snapshot', '-c', "it's", path]);
  tool('qemu-img', ['snapshot', '-c', 'half', second]);
  const other = spawn('qemu-io', ['-f', 'qcow2', second], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => other.on('close', resolve));
  await new Promise((resolve) => other.stdout.once('data', resolve));
  const partly = await fix(vm);
  other.stdin.end();
  await ended;
  expect(partly).toMatchObject({
    code: 3,
    steps: [
      ['delete-tag', 'half', 'failed'],
      ['adopt', "it's", 'done'],
    ],
    left: [['orphan-tag', null]],
  });
  expect(tagNames(vm)).toEqual([
    ['a', "it's"],
    ['a', "it's", 'half'],
  ]);
  // the command of the failure does it
  pasteOk(partly.fixes[0]?.error?.command ?? null);
  await isFixed(vm);
});

test('a VM that a job holds is left alone', async () => {
  const vm = twoDisks('held', { boot: 'counter' });
  for (const { path } of vm.disks) tool('qemu-img', ['snapshot', '-c', 'x', path]);
  start(vm);
  await countTo(vm, 1);
  const { done } = await takeHalf(vm, 'a');
  expect(await fix(vm)).toMatchObject({
    code: 5,
    steps: [],
    left: [
      ['under-way', 'a'],
      ['orphan-tag', null],
      ['no-current', null],
    ],
  });
  continueQemu(vm);
  await done;
  expect(await fix(vm)).toMatchObject({ code: 0, steps: [['adopt', 'x', 'done']] });
});

test('on a terminal one question covers all VMs, and a no changes nothing', async () => {
  const vms = ['one', 'two'].map((name) => defineVm({ name, disks: [{ size: '8M' }] }));
  for (const vm of vms) tool('qemu-img', ['snapshot', '-c', 'x', pathOf(vm)]);
  const answer = async (word: string) => {
    const terminal = await asked('check', '--fix');
    terminal.type(`${word}\n`);
    return terminal.done;
  };
  const declined = await answer('n');
  expect(declined.code).toBe(10);
  expect(declined.screen).toMatch(
    /1\. one: register the snapshot.*\n {3}virsh snapshot-create.*2\. two: register the snapshot/s,
  );
  expect(vms.map(snapshotNames)).toEqual([[], []]);
  expect(readdirSync(join(scratch, 'state', 'kvmsnap'))).toEqual([]);
  expect(await answer('y')).toMatchObject({ code: 0, screen: expect.stringMatching(/two .*done/) });
  expect(vms.map(snapshotNames)).toEqual([['x'], ['x']]);
});
