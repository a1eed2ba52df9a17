// check --fix on a real libvirtd: what it mends must work afterwards, and what it does not touch must be as it was.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { isSystemLab, scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import {
  cleanUp,
  continueQemu,
  defineMachine,
  destroy,
  type Machine,
  pathOf,
  start,
  state,
  stateAndReason,
} from '../lab/machine.ts';
import { currentSnapshot, snapshotNames } from '../lab/snapshot.ts';
import { pasteOk } from '../lab/evidence.ts';
import {
  allClean,
  asked,
  bytes,
  count,
  countTo,
  document,
  facts,
  failure,
  fitting,
  succeed,
  tagNames,
  take,
  takeHalf,
  twoDisks,
  write,
  writeAsGuest,
} from '../lab/scene.ts';

// what is kept before a change is no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);
afterAll(cleanUp);

/** Mends one machine; hands back the exit code, the steps and what is left. */
async function fix(machine: Machine, ...options: string[]) {
  const { code, stdout, stderr } = await kvmsnap([
    '--json',
    'check',
    machine.name,
    '--fix',
    '--yes',
    ...options,
  ]);
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
async function isMended(machine: Machine): Promise<void> {
  const before = facts(machine);
  expect(await fix(machine)).toMatchObject({ code: 0, steps: [] });
  expect(facts(machine)).toEqual(before);
}

const revert = (machine: Machine, name: string) =>
  virsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', name);

describe('a machine whose definition was lost while it ran', () => {
  /** Three snapshots, the middle one with memory, of which libvirt knows nothing any more. */
  async function forgotten(name: string): Promise<Machine> {
    const machine = twoDisks(name, {
      boot: 'counter',
      disks: [{ size: '16M' }, { size: '16M' }, { device: 'cdrom', source: null }],
      extraDevicesXml: "<graphics type='vnc' passwd='s3cr3t&amp;'><listen type='socket'/></graphics>",
    });
    const disks = machine.disks.filter(({ path }) => path !== '');
    const seen = { ...machine, disks };
    write(seen, 1);
    take(machine, 'first');
    start(machine);
    await countTo(machine, 5);
    writeAsGuest(seen, 2);
    take(machine, 'running');
    destroy(machine);
    write(seen, 3);
    take(machine, 'last');
    write(seen, 4);
    const file = join(mkdtempSync(join(scratch, 'lost-')), 'machine.xml');
    writeFileSync(file, virsh('dumpxml', '--domain', machine.uuid, '--inactive', '--security-info'));
    start(machine);
    virsh('undefine', '--domain', machine.uuid, '--snapshots-metadata');
    destroy(machine);
    virsh('define', file);
    expect(snapshotNames(machine)).toEqual([]);
    return seen;
  }

  test('knows its snapshots again, and each of them can be gone back to and deleted', async () => {
    const machine = await forgotten('web-1');
    const before = facts(machine);
    // in a script, nothing without --yes
    const declined = await failure(10, 'check', 'web-1', '--fix');
    expect(declined.message).toContain("have libvirt know the snapshot 'running'");
    expect(facts(machine)).toEqual(before);

    expect(await fix(machine)).toMatchObject({
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
        description: expect.stringMatching(/^Adopted by kvmsnap on .* Assumed: /),
      },
    ]);
    expect([bytes(machine), tagNames(machine)]).toEqual([before.bytes, before.tags]);
    expect(virsh('dumpxml', '--domain', machine.uuid, '--inactive')).toBe(before.definition);
    await isMended(machine);

    await succeed('info', 'web-1', 'running');
    await succeed('revert', 'web-1', 'running', '--yes');
    expect(state(machine)).toBe('running');
    expect(count(machine)).toBeGreaterThanOrEqual(5);
    expect(bytes(machine)).toEqual([2, 2]);
    for (const [name, byte] of [
      ['first', 1],
      ['last', 3],
    ] as const) {
      await succeed('revert', 'web-1', name, '--yes');
      expect([state(machine), bytes(machine)]).toEqual(['shut off', [byte, byte]]);
    }
    expect(virsh('dumpxml', '--domain', machine.uuid, '--inactive', '--security-info')).toContain(
      's3cr3t&amp;',
    );
    await succeed('delete', 'web-1', 'first', 'running', 'last');
    expect(tagNames(machine)).toEqual([[], []]);
    expect(allClean(machine)).toBe(true);
  });

  test('a dry run changes nothing, and its lines do it when pasted', async () => {
    const machine = await forgotten('dry');
    const before = facts(machine);
    const { commands, domains } = await document('dry-run', '--dry-run', 'check', 'dry', '--fix');
    expect(facts(machine)).toEqual(before);
    expect(domains?.[0]?.fixes).toMatchObject(
      commands.map((command) => ({ commands: [command], outcome: 'planned' })),
    );
    for (const command of commands) pasteOk(command);
    expect(snapshotNames(machine).sort()).toEqual(['first', 'last', 'running']);
    await isMended(machine);
  });
});

test('halves and twins go where it is proven which they are, and what no disk holds is forgotten', async () => {
  const machine = twoDisks('torn');
  for (const { path } of machine.disks) tool('qemu-img', ['snapshot', '-c', 'twin', path]);
  const [first = '', second = ''] = machine.disks.map(({ path }) => path);
  tool('sleep', ['1.1']); // a tag's date has seconds
  write(machine, 1);
  for (const name of ['base', 'twin', 'gone']) take(machine, name);
  write(machine, 2);
  tool('qemu-img', ['snapshot', '-c', 'half', second]);
  for (const path of [first, second]) tool('qemu-img', ['snapshot', '-d', 'gone', path]);
  const gone = virsh(
    'snapshot-dumpxml',
    '--domain',
    machine.uuid,
    '--snapshotname',
    'gone',
    '--security-info',
  );

  const fixed = await fix(machine);
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
  expect(tagNames(machine)).toEqual([
    ['base', 'twin'],
    ['base', 'twin'],
  ]);
  expect([snapshotNames(machine), currentSnapshot(machine)]).toEqual([['base', 'twin'], 'twin']);
  expect([bytes(machine), allClean(machine)]).toEqual([[2, 2], true]);
  await isMended(machine);
  revert(machine, 'twin');
  expect(bytes(machine)).toEqual([1, 1]);
});

test('what is not proven is left alone, and said', async () => {
  const machine = twoDisks('unclear');
  const [first = '', second = ''] = machine.disks.map(({ path }) => path);
  // the second disk may have come to the machine later
  tool('qemu-img', ['snapshot', '-c', 'alone', first]);
  take(machine, 'a');
  // the right one is the older: qemu-img would delete that
  tool('sleep', ['1.1']);
  tool('qemu-img', ['snapshot', '-c', 'a', second]);
  const before = facts(machine);
  const { code, steps, left } = await fix(machine);
  expect({ code, steps }).toEqual({ code: 5, steps: [] });
  expect(left).toEqual([
    ['orphan-tag', null],
    ['missing-tag', 'a'],
  ]);
  expect(facts(machine)).toEqual(before);
  // while it runs its images are QEMU's
  start(machine);
  expect(await fix(machine)).toMatchObject({ code: 5, steps: [] });
  expect(pathOf(machine)).toBe(first);
});

test('a machine left paused by a save that has ended is resumed, and its tag is known again', async () => {
  const machine = twoDisks('left', { boot: 'counter' });
  start(machine);
  await countTo(machine, 3);
  take(machine, 'half');
  virsh('snapshot-delete', '--domain', machine.uuid, '--snapshotname', 'half', '--metadata');
  virsh('suspend', '--domain', machine.uuid);
  // as a libvirtd leaves it that is killed in the middle of a save
  await killLibvirtd();
  const states = isSystemLab ? '/run/libvirt/qemu' : `${process.env['XDG_RUNTIME_DIR']}/libvirt/qemu/run`;
  const file = join(states, 'left.xml');
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace("state='paused' reason='user'", "state='paused' reason='save'"),
  );
  await startLibvirtd();
  await waitFor(() => stateAndReason(machine) === 'paused (saving)', { what: 'the state' });
  const before = count(machine);
  expect(await fix(machine)).toMatchObject({
    code: 0,
    steps: [
      ['resume', null, 'done'],
      ['adopt', 'half', 'done'],
    ],
  });
  expect(state(machine)).toBe('running');
  await countTo(machine, before + 2);
  await isMended(machine);
  revert(machine, 'half');
  expect(state(machine)).toBe('running');
});

test('a step that fails stops no other', async () => {
  const machine = twoDisks('partly');
  const [first = '', second = ''] = machine.disks.map(({ path }) => path);
  take(machine, 'a');
  tool('sleep', ['1.1']); // a tag's date has seconds
  for (const path of [first, second]) tool('qemu-img', ['snapshot', '-c', "it's", path]);
  tool('qemu-img', ['snapshot', '-c', 'half', second]);
  const other = spawn('qemu-io', ['-f', 'qcow2', second], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => other.on('close', resolve));
  await new Promise((resolve) => other.stdout.once('data', resolve));
  const partly = await fix(machine);
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
  expect(tagNames(machine)).toEqual([
    ['a', "it's"],
    ['a', "it's", 'half'],
  ]);
  // the command of the failure does it
  pasteOk(partly.fixes[0]?.error?.command ?? null);
  await isMended(machine);
});

test('a machine that a job holds is left alone', async () => {
  const machine = twoDisks('held', { boot: 'counter' });
  for (const { path } of machine.disks) tool('qemu-img', ['snapshot', '-c', 'x', path]);
  start(machine);
  await countTo(machine, 1);
  const { done } = await takeHalf(machine, 'a');
  expect(await fix(machine)).toMatchObject({
    code: 5,
    steps: [],
    left: [
      ['under-way', 'a'],
      ['orphan-tag', null],
      ['no-current', null],
    ],
  });
  continueQemu(machine);
  await done;
  expect(await fix(machine)).toMatchObject({ code: 0, steps: [['adopt', 'x', 'done']] });
});

test('on a terminal one question covers all machines, and a no changes nothing', async () => {
  const machines = ['one', 'two'].map((name) => defineMachine({ name, disks: [{ size: '8M' }] }));
  for (const machine of machines) tool('qemu-img', ['snapshot', '-c', 'x', pathOf(machine)]);
  const answer = async (word: string) => {
    const terminal = await asked('check', '--fix');
    terminal.type(`${word}\n`);
    return terminal.done;
  };
  const declined = await answer('n');
  expect(declined.code).toBe(10);
  expect(declined.screen).toMatch(
    /1\. one: have libvirt know.*\$ virsh snapshot-create.*2\. two: have libvirt know/s,
  );
  expect(machines.map(snapshotNames)).toEqual([[], []]);
  expect(readdirSync(join(scratch, 'state', 'kvmsnap'))).toEqual([]);
  expect(await answer('y')).toMatchObject({ code: 0, screen: expect.stringMatching(/two .*done/) });
  expect(machines.map(snapshotNames)).toEqual([['x'], ['x']]);
});
