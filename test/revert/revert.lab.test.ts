import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pasteOk } from '../lab/evidence.ts';
import { virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { currentSnapshot } from '../scene/snapshot.ts';
import {
  allClean,
  asked,
  bytes,
  count,
  countTo,
  document,
  facts,
  fail,
  keeps,
  movedOn,
  NOW,
  succeed,
  THEN,
  tagNames,
  take,
  twoDisks,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, qemuPid, start, state, type Vm } from '../scene/vm.ts';
import { revertRaw } from './raw-revert.ts';

afterAll(cleanUp);

describe('from every state to every state', () => {
  /** More ticks than a guest can count between its start and the look after the revert. */
  const MANY = 100;
  let vm: Vm;
  /** What each snapshot holds: the byte on both disks, and the guest's count when it was taken, at least and at most. */
  let held: Record<string, { readonly byte: number; readonly from: number; readonly to: number }>;

  beforeAll(async () => {
    vm = twoDisks('states', { boot: 'counter' });
    write(vm, 0x31);
    take(vm, 'off');
    start(vm);
    await countTo(vm, MANY);
    writeAsGuest(vm, 0x32);
    const from = count(vm);
    take(vm, 'running');
    const to = count(vm);
    writeAsGuest(vm, 0x33);
    virsh('suspend', '--domain', vm.uuid);
    const frozen = count(vm);
    take(vm, 'paused');
    held = {
      off: { byte: 0x31, from: 0, to: MANY - 1 },
      running: { byte: 0x32, from, to },
      paused: { byte: 0x33, from: frozen, to: frozen },
    };
    destroy(vm);
  });
  afterAll(cleanUp);

  test.each(
    share(8, [
      ['off', 'off', null, 'shutoff'],
      ['off', 'running', null, 'running'],
      ['off', 'paused', null, 'paused'],
      ['running', 'off', null, 'shutoff'],
      ['running', 'running', null, 'running'],
      ['running', 'paused', null, 'paused'],
      ['paused', 'off', null, 'shutoff'],
      ['paused', 'running', null, 'running'],
      ['paused', 'paused', null, 'paused'],
      ['off', 'off', '--running', 'running'],
      ['off', 'off', '--paused', 'paused'],
      ['off', 'running', '--paused', 'paused'],
      ['off', 'paused', '--running', 'running'],
      ['running', 'off', '--running', 'running'],
      ['running', 'off', '--paused', 'paused'],
      ['running', 'running', '--paused', 'paused'],
      ['running', 'paused', '--running', 'running'],
      ['paused', 'running', '--running', 'running'],
    ] as const),
  )('%s, to a snapshot of %s, %s: %s', async (before, name, option, end) => {
    destroy(vm);
    write(vm, 0x99);
    if (before !== 'off') start(vm);
    if (before === 'paused') virsh('suspend', '--domain', vm.uuid);

    const said = await document('revert', 'revert', 'states', name, ...(option ? [option] : []));
    const { byte, from, to } = held[name] ?? { byte: 0, from: 0, to: 0 };
    if (end !== 'shutoff') {
      const counted = count(vm);
      expect(counted).toBeGreaterThanOrEqual(from);
      // one that runs has counted on, but began where it was
      expect(counted).toBeLessThanOrEqual(end === 'paused' ? to : to + MANY);
    }
    expect(state(vm)).toBe(end === 'shutoff' ? 'shut off' : end);
    expect(bytes(vm)).toEqual([byte, byte]);
    expect(currentSnapshot(vm)).toBe(name);
    expect(said).toMatchObject({
      domain: { name: 'states', state: end },
      snapshot: { name, current: true },
      backup: null,
    });
  });

  test('says beforehand in which state it ends, and what a running VM loses (hazards 18, 29)', async () => {
    destroy(vm);
    start(vm);
    const pid = qemuPid(vm);
    const anew = since({ '7.0': false, '7.10': true });
    const lost = (name: string) =>
      `note: everything written since snapshot ${name} \\(taken .*\\) will be lost\nnote: the present memory of the guest will be lost\n`;
    expect((await succeed('revert', 'states', 'running')).stderr).toMatch(
      new RegExp(
        `^${anew ? 'note: QEMU will be restarted: consoles and displays disconnect, and the id of the VM changes\n' : ''}note: the VM will be running afterwards\n${lost('.*')}note: the guest's clock is now .* behind.?[^]*\n$`,
      ),
    );
    expect(qemuPid(vm) !== pid).toBe(anew);
    expect((await succeed('revert', 'states', 'off')).stderr).toMatch(
      new RegExp(
        `^note: the VM is running and will be stopped as if its power were cut\nnote: the VM will be shut off afterwards\n${lost('running')}$`,
      ),
    );
  });

  test('leaves every snapshot and both images whole', () => {
    destroy(vm);
    expect(tagNames(vm)).toEqual([
      ['off', 'running', 'paused'],
      ['off', 'running', 'paused'],
    ]);
    for (const [name, { byte }] of Object.entries(held)) expect(keeps(vm, name, byte)).toBe(true);
    expect(allClean(vm)).toBe(true);
  });
});

describe('which snapshot', () => {
  afterEach(cleanUp);

  test('--current is the one that virsh calls current', async () => {
    const vm = movedOn('current');
    take(vm, 's2');
    revertRaw(vm, 's1');
    write(vm, 0x33);
    expect((await succeed('revert', 'current', '--current', '-q')).stdout).toBe('s1\n');
    expect(bytes(vm)).toEqual([THEN, THEN]);
  });

  test.each(
    share(3, [
      [4, ['--current'], 'has no current snapshot'],
      [4, ['s1'], 'has no snapshot s1'],
      [2, [], 'give either the name of a snapshot or --current'],
      [2, ['s1', '--current'], 'give either the name of a snapshot or --current'],
      [2, ['s1', '--running', '--paused'], 'cannot be combined'],
    ]),
  )('exit %i for %j on a VM that has none', async (code, args, words) => {
    defineVm({ name: 'none' });
    expect(await fail(code, 'revert', 'none', ...args)).toContain(words);
  });

  test('--dry-run prints what it would run, changes nothing, and the line does it', async () => {
    const vm = movedOn('dry');
    const before = facts(vm);
    const { stdout } = await succeed('revert', 'dry', 's1', '--dry-run');
    const withBackup = await succeed('revert', 'dry', 's1', '--dry-run', '--backup-name', 'kept one');
    expect(facts(vm)).toEqual(before);
    const revert = `virsh snapshot-revert --domain ${vm.uuid} --snapshotname s1`;
    expect(stdout).toBe(`${revert}  # dry\n`);
    const [create = '', then] = withBackup.stdout.split('\n');
    expect(create).toMatch(new RegExp(`^virsh snapshot-create-as --domain ${vm.uuid} --name 'kept one' `));
    expect(then).toBe(`${revert}  # dry`);
    expect(await document('dry-run', 'revert', 'dry', 's1', '--dry-run')).toMatchObject({
      commands: [revert],
    });
    pasteOk(withBackup.stdout);
    expect(bytes(vm)).toEqual([THEN, THEN]);
    expect(keeps(vm, 'kept one', NOW)).toBe(true);
  });
});

describe('on a terminal (hazard 28)', () => {
  afterEach(cleanUp);

  test.each(
    share(2, [
      ['n\r', 10],
      ['\r', 10],
      ['\x04', 10],
      ['\x03', 130],
    ]),
  )('asks, and %j is exit %i with nothing changed', async (typed, code) => {
    const vm = movedOn('asked');
    const before = facts(vm);
    const terminal = await asked('revert', 'asked', 's1');
    expect(terminal.screen()).toMatch(
      /Revert asked to s1 \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, \d+ (s|min) ago\)\?/,
    );
    expect(terminal.screen()).toMatch(/everything written since snapshot s1 \(taken .*will be lost/i);
    terminal.type(typed);
    const done = await terminal.done;
    expect(done).toMatchObject({ code, screen: expect.stringContaining('nothing was changed') });
    expect(stripVTControlCharacters(done.screen)).toContain('\nerror: ');
    expect(facts(vm)).toEqual(before);
  });

  test('y does it, and so does --yes without a question', async () => {
    const vm = movedOn('asked');
    const terminal = await asked('revert', 'asked', 's1');
    expect(bytes(vm)).toEqual([NOW, NOW]);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
    expect(bytes(vm)).toEqual([THEN, THEN]);
    write(vm, NOW);
    const { code, screen } = await onTerminal(['revert', 'asked', 's1', '--yes']).done;
    expect([code, screen.includes('[y/N]')]).toEqual([0, false]);
    expect(bytes(vm)).toEqual([THEN, THEN]);
  });
});
