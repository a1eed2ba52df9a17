import { existsSync, renameSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { tags, writePattern } from '../lab/disk.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import {
  cleanUp,
  continueQemu,
  defineMachine,
  destroy,
  type Machine,
  machineXml,
  pathOf,
  qemuPid,
  start,
  state,
} from '../lab/machine.ts';
import { currentSnapshot, snapshotNames } from '../lab/snapshot.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { pasteOk, writableImages } from '../lab/evidence.ts';
import {
  allClean,
  asked,
  byteIn,
  bytes,
  count,
  countTo,
  document,
  facts,
  fail,
  failure,
  keeps,
  movedOn,
  NOW,
  succeed,
  THEN,
  tagNames,
  take,
  takeHalf,
  twoDisks,
  write,
  writeAsGuest,
} from '../lab/scene.ts';

afterAll(cleanUp);

function revertRaw(machine: Machine, name: string) {
  return tryVirsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', name);
}

/** With qemu-img, behind libvirt's back: `-c` makes a tag, `-d` deletes the oldest of that name. */
function editTag(machine: Machine, disk: number, action: '-c' | '-d', name: string): void {
  tool('qemu-img', ['snapshot', action, name, pathOf(machine, disk)]);
}

describe('from every state to every state', () => {
  /** More ticks than a guest can count between its start and the look after the revert. */
  const MANY = 100;
  let machine: Machine;
  /** What each snapshot holds: the byte on both disks, and the guest's count when it was taken, at least and at most. */
  let held: Record<string, { readonly byte: number; readonly from: number; readonly to: number }>;

  beforeAll(async () => {
    machine = twoDisks('states', { boot: 'counter' });
    write(machine, 0x31);
    take(machine, 'off');
    start(machine);
    await countTo(machine, MANY);
    writeAsGuest(machine, 0x32);
    const from = count(machine);
    take(machine, 'running');
    const to = count(machine);
    writeAsGuest(machine, 0x33);
    virsh('suspend', '--domain', machine.uuid);
    const frozen = count(machine);
    take(machine, 'paused');
    held = {
      off: { byte: 0x31, from: 0, to: MANY - 1 },
      running: { byte: 0x32, from, to },
      paused: { byte: 0x33, from: frozen, to: frozen },
    };
    destroy(machine);
  });
  afterAll(cleanUp);

  test.each([
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
  ] as const)('%s, to a snapshot of %s, %s: %s', async (before, name, option, end) => {
    destroy(machine);
    write(machine, 0x99);
    if (before !== 'off') start(machine);
    if (before === 'paused') virsh('suspend', '--domain', machine.uuid);

    const said = await document('revert', 'revert', 'states', name, ...(option ? [option] : []));
    const { byte, from, to } = held[name] ?? { byte: 0, from: 0, to: 0 };
    if (end !== 'shutoff') {
      const counted = count(machine);
      expect(counted).toBeGreaterThanOrEqual(from);
      // one that runs has counted on, but began where it was
      expect(counted).toBeLessThanOrEqual(end === 'paused' ? to : to + MANY);
    }
    expect(state(machine)).toBe(end === 'shutoff' ? 'shut off' : end);
    expect(bytes(machine)).toEqual([byte, byte]);
    expect(currentSnapshot(machine)).toBe(name);
    expect(said).toMatchObject({
      domain: { name: 'states', state: end },
      snapshot: { name, current: true },
      backup: null,
    });
  });

  test('says beforehand in which state it ends, and what a running machine loses (hazards 18, 29)', async () => {
    destroy(machine);
    start(machine);
    const pid = qemuPid(machine);
    const anew = since({ '7.0': false, '7.10': true });
    const lost = (name: string) =>
      `note: all that was written on top of '${name}' \\(taken .*\\) will be lost\nnote: what is in its memory will be lost\n`;
    expect((await succeed('revert', 'states', 'running')).stderr).toMatch(
      new RegExp(
        `^${anew ? 'note: QEMU is started anew: consoles and displays drop, and the id changes\n' : ''}note: it will then be running\n${lost('.*')}note: the guest's clock is behind, by .*\n$`,
      ),
    );
    expect(qemuPid(machine) !== pid).toBe(anew);
    expect((await succeed('revert', 'states', 'off')).stderr).toMatch(
      new RegExp(
        `^note: the machine is running, and will be stopped as if its power were cut\nnote: it will then be shut off\n${lost('running')}$`,
      ),
    );
  });

  test('leaves every snapshot and both images whole', () => {
    destroy(machine);
    expect(tagNames(machine)).toEqual([
      ['off', 'running', 'paused'],
      ['off', 'running', 'paused'],
    ]);
    for (const [name, { byte }] of Object.entries(held)) expect(keeps(machine, name, byte)).toBe(true);
    expect(allClean(machine)).toBe(true);
  });
});

describe('which snapshot', () => {
  afterEach(cleanUp);

  test('--current is the one that virsh calls current', async () => {
    const machine = movedOn('current');
    take(machine, 's2');
    revertRaw(machine, 's1');
    write(machine, 0x33);
    expect((await succeed('revert', 'current', '--current', '-q')).stdout).toBe('s1\n');
    expect(bytes(machine)).toEqual([THEN, THEN]);
  });

  test.each([
    [4, ['--current'], 'has no current snapshot'],
    [4, ['s1'], "has no snapshot 's1'"],
    [2, [], 'say which snapshot'],
    [2, ['s1', '--current'], 'say which snapshot'],
    [2, ['s1', '--running', '--paused'], 'exclude each other'],
  ])('exit %i for %j on a machine that has none', async (code, args, words) => {
    defineMachine({ name: 'none' });
    expect(await fail(code, 'revert', 'none', ...args)).toContain(words);
  });

  test('--dry-run prints what it would run, changes nothing, and the line does it', async () => {
    const machine = movedOn('dry');
    const before = facts(machine);
    const { stdout } = await succeed('revert', 'dry', 's1', '--dry-run');
    const withBackup = await succeed('revert', 'dry', 's1', '--dry-run', '--backup-name', 'kept one');
    expect(facts(machine)).toEqual(before);
    const revert = `virsh snapshot-revert --domain ${machine.uuid} --snapshotname s1`;
    expect(stdout).toBe(`${revert}\n`);
    const [create = '', then] = withBackup.stdout.split('\n');
    expect(create).toMatch(
      new RegExp(`^virsh snapshot-create-as --domain ${machine.uuid} --name 'kept one' `),
    );
    expect(then).toBe(revert);
    expect(await document('dry-run', 'revert', 'dry', 's1', '--dry-run')).toMatchObject({
      commands: [revert],
    });
    pasteOk(withBackup.stdout);
    expect(bytes(machine)).toEqual([THEN, THEN]);
    expect(keeps(machine, 'kept one', NOW)).toBe(true);
  });
});

describe('--backup', () => {
  afterEach(cleanUp);

  test('keeps what is on the disks, before they are reverted', async () => {
    const machine = movedOn('kept');
    const said = await document('revert', 'revert', 'kept', 's1', '--backup');
    const name = said.backup?.name ?? '';
    expect(name).toMatch(/^before-revert-\d{8}T\d{6}Z$/);
    expect(bytes(machine)).toEqual([THEN, THEN]);
    expect(keeps(machine, name, NOW)).toBe(true);
    expect(snapshotNames(machine).sort()).toEqual([name, 's1']);
    await succeed('revert', 'kept', name);
    expect(bytes(machine)).toEqual([NOW, NOW]);
  });

  test('keeps the memory of a running guest too', async () => {
    const machine = movedOn('alive');
    start(machine);
    await countTo(machine, 60);
    writeAsGuest(machine, 0x44);
    const { stdout } = await succeed('revert', 'alive', 's1', '--backup-name', 'my-backup');
    expect(stdout).toContain('my-backup');
    expect(state(machine)).toBe('shut off');
    expect(bytes(machine)).toEqual([THEN, THEN]);
    await succeed('revert', 'alive', 'my-backup', '--paused');
    expect(count(machine)).toBeGreaterThanOrEqual(60);
    expect(bytes(machine)).toEqual([0x44, 0x44]);
  });

  test.each([
    [6, 'taken', "already has a snapshot 'taken'"],
    [2, 'a/b', "'a/b' cannot be the name of a snapshot"],
    [5, 'orphan', "already holds a snapshot 'orphan'"],
  ])('that cannot be taken, exit %i for the name %s, stops the revert', async (code, name, words) => {
    const machine = movedOn('refused');
    take(machine, 'taken');
    editTag(machine, 1, '-c', 'orphan');
    const before = facts(machine);
    expect(await fail(code, 'revert', 'refused', 's1', '--backup-name', name)).toContain(words);
    expect(facts(machine)).toEqual(before);
  });

  test('of a machine that has got a raw disk meanwhile stops the revert', async () => {
    const machine = movedOn('raw');
    const raw = `${scratch}/extra.raw`;
    tool('qemu-img', ['create', '-q', '-f', 'raw', raw, '1M']);
    virsh('attach-disk', machine.uuid, raw, 'vdc', '--config', '--driver', 'qemu', '--subdriver', 'raw');
    const before = facts(machine);
    expect(await fail(5, 'revert', 'raw', 's1', '--backup')).toContain(`disk vdc (${raw}): the file is raw`);
    expect(facts(machine)).toEqual(before);
  });
});

describe('a disk that lacks the snapshot', () => {
  afterEach(cleanUp);

  test('is refused, whatever the options, and none is touched', async () => {
    const machine = movedOn('torn');
    editTag(machine, 1, '-d', 's1');
    const before = facts(machine);
    for (const option of [[], ['--force'], ['--running'], ['--backup'], ['--dry-run']]) {
      const { code, message } = await failure(5, 'revert', 'torn', 's1', ...option);
      expect([code, message]).toEqual([
        'check',
        expect.stringContaining(`disk vdb: ${pathOf(machine, 1)} does not hold`),
      ]);
    }
    expect(facts(machine)).toEqual(before);
    expect(before.bytes).toEqual([NOW, NOW]);
  });

  test('is found where the memory alone is lacking', async () => {
    const machine = twoDisks('memory', { boot: 'counter' });
    start(machine);
    take(machine, 's1');
    destroy(machine);
    editTag(machine, 0, '-d', 's1');
    editTag(machine, 0, '-c', 's1');
    const before = facts(machine);
    expect(await fail(5, 'revert', 'memory', 's1')).toContain('no disk holds its memory');
    expect(facts(machine)).toEqual(before);
  });

  test('or holds it twice is refused, and the hint mends it', async () => {
    const machine = movedOn('twice');
    editTag(machine, 0, '-c', 's1');
    const before = facts(machine);
    const { message, hint, command } = await failure(5, 'revert', 'twice', 's1');
    expect(message).toContain("holds 2 snapshots called 's1' (ids 1, 2)");
    expect(hint).toContain('the older one');
    expect(facts(machine)).toEqual(before);
    pasteOk(command);
    expect(tags(pathOf(machine)).map(({ id }) => id)).toEqual(['2']);
    await succeed('revert', 'twice', 's1');
    // the younger one was made of NOW
    expect(bytes(machine)).toEqual([NOW, THEN]);
  });
});

describe('a name that is the id of another snapshot (hazard 31)', () => {
  afterEach(cleanUp);

  test('is not given to a new one', async () => {
    const machine = twoDisks('new');
    take(machine, 'a');
    const before = facts(machine);
    expect(await fail(5, 'create-as', 'new', '1')).toContain("such as 'snapshot-1'");
    expect(facts(machine)).toEqual(before);
  });

  test('but its own id is no hindrance', async () => {
    const machine = twoDisks('own');
    write(machine, THEN);
    await succeed('create-as', 'own', '1');
    write(machine, NOW);
    await succeed('revert', 'own', '1');
    expect(bytes(machine)).toEqual([THEN, THEN]);
  });
});

describe('a name that is the id that the backup would get (hazard 31)', () => {
  afterEach(cleanUp);

  test('is refused: the backup would be brought back instead; what the hint says helps', async () => {
    const machine = twoDisks('next');
    write(machine, THEN);
    take(machine, '3');
    write(machine, NOW);
    take(machine, 'later');
    const before = facts(machine);
    const { message, command } = await failure(5, 'revert', 'next', '3', '--backup');
    expect(message).toContain('the backup would get the id 3');
    expect(facts(machine)).toEqual(before);
    pasteOk(command);
    expect(keeps(machine, 'before-3', NOW)).toBe(true);
    await succeed('revert', 'next', '3');
    expect(bytes(machine)).toEqual([THEN, THEN]);
  });
});

describe('what has changed since', () => {
  afterEach(cleanUp);

  test('a disk added is named, and goes from the machine as with virsh (hazard 16)', async () => {
    const machine = movedOn('added');
    const added = `${scratch}/added.qcow2`;
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', added, '1M']);
    virsh('attach-disk', machine.uuid, added, 'vdc', '--config', '--driver', 'qemu', '--subdriver', 'qcow2');
    expect(machineXml(machine)).toContain(added);
    const { stderr } = await succeed('revert', 'added', 's1');
    expect(stderr).toContain(`disk vdc is removed from the VM (the file stays: ${added})`);
    expect(bytes(machine)).toEqual([THEN, THEN]);
    expect(machineXml(machine)).not.toContain(added);
    expect(existsSync(added)).toBe(true);
  });

  test('an overlay in use is not left behind without --force (hazard 17)', async () => {
    const machine = movedOn('overlaid');
    take(machine, 'over', '--disk-only', '--diskspec', 'vdb,snapshot=no');
    const overlay = pathOf(machine).replace(/qcow2$/, 'over');
    tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x55 1M 64k', overlay]);
    const before = facts(machine);
    const { message } = await failure(5, 'revert', 'overlaid', 's1');
    expect(message).toContain(
      `disk vda: the machine now uses ${overlay}, but the snapshot is in ${pathOf(machine)}`,
    );
    expect(facts(machine)).toEqual(before);

    const { stderr } = await succeed('revert', 'overlaid', 's1', '--force');
    expect(stderr).toContain(`warning: disk vda: the machine now uses ${overlay}`);
    expect(machineXml(machine)).not.toContain(overlay);
    expect(bytes(machine)).toEqual([THEN, THEN]);
    expect(byteIn(overlay)).toBe(0x55);
  });

  test('a snapshot outside of the images is refused where libvirtd cannot go back to it, only there', async () => {
    const machine = movedOn('external');
    take(machine, 'over', '--disk-only');
    for (const overlay of writableImages(machine)) writePattern(overlay, 0x55, 1024 * 1024, 64 * 1024);
    if (since({ '7.0': true, '9.9': false })) {
      const before = facts(machine);
      const refused = await failure(5, 'revert', 'external', 'over');
      expect(refused.message).toContain('cannot revert to external snapshots');
      expect(facts(machine)).toEqual(before);
      expect(revertRaw(machine, 'over').code).toBe(1);
    } else {
      await succeed('revert', 'external', 'over');
      expect([state(machine), currentSnapshot(machine)]).toEqual(['shut off', 'over']);
      // libvirt makes new overlays over what the snapshot kept
      expect(writableImages(machine).map(byteIn)).toEqual([NOW, NOW]);
    }
  });

  test('a managed save is explained, and the hint helps (hazard 11)', async () => {
    const machine = movedOn('saved');
    start(machine);
    virsh('managedsave', machine.uuid);
    const before = facts(machine);
    const { message, command } = await failure(5, 'revert', 'saved', 's1');
    expect(message).toContain('managed save');
    expect(facts(machine)).toEqual(before);
    expect(virsh('list', '--all', '--with-managed-save', '--name').trim()).toBe('saved');
    pasteOk(command);
    await succeed('revert', 'saved', 's1');
    expect(bytes(machine)).toEqual([THEN, THEN]);

    start(machine);
    virsh('managedsave', machine.uuid);
    await succeed('revert', 'saved', 's1', '--force');
    expect([state(machine), bytes(machine)]).toEqual(['shut off', [THEN, THEN]]);
  });

  test.each([
    ['the image', (machine: Machine) => pathOf(machine, 1)],
    ['the backing file of an image', (machine: Machine) => pathOf(machine).replace('vda', 'base')],
  ])('%s is missing: named, and no disk is touched (hazard 24)', async (_, lost) => {
    const machine = twoDisks('broken');
    const base = lost(machine).includes('base') ? lost(machine) : null;
    if (base) {
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', base, '16M']);
      tool('qemu-img', ['rebase', '-u', '-b', base, '-F', 'qcow2', pathOf(machine)]);
    }
    write(machine, THEN);
    take(machine, 's1');
    write(machine, NOW);
    renameSync(lost(machine), `${lost(machine)}.away`);
    expect(await fail(5, 'revert', 'broken', 's1')).toContain(`${lost(machine)} is missing`);
    renameSync(`${lost(machine)}.away`, lost(machine));
    expect(bytes(machine)).toEqual([NOW, NOW]);
    await succeed('revert', 'broken', 's1');
    expect(bytes(machine)).toEqual([THEN, THEN]);
  });
});

describe('a snapshot under way (hazard 25)', () => {
  afterEach(cleanUp);

  test('is neither reverted to nor deleted, and comes to its end', async () => {
    const machine = twoDisks('held', { boot: 'counter' });
    start(machine);
    const { done } = await takeHalf(machine, 'half');
    try {
      for (const args of [
        ['revert', 'held', 'half'],
        ['revert', 'held', 'half', '--force'],
        ['delete', 'held', 'half'],
        ['delete', 'held', 'half', '--children', '--yes'],
      ])
        expect(await fail(7, ...args)).toContain('is still being taken');
    } finally {
      continueQemu(machine);
    }
    await done;
    expect([state(machine), currentSnapshot(machine)]).toEqual(['running', 'half']);
    expect(tagNames(machine)).toEqual([['half'], ['half']]);
    await succeed('revert', 'held', 'half');
    await succeed('delete', 'held', 'half');
    expect(tagNames(machine)).toEqual([[], []]);
  });
});

describe('on a terminal (hazard 28)', () => {
  afterEach(cleanUp);

  test.each([
    ['n\r', 10],
    ['\r', 10],
    ['\x04', 10],
    ['\x03', 130],
  ])('asks, and %j is exit %i with nothing changed', async (typed, code) => {
    const machine = movedOn('asked');
    const before = facts(machine);
    const terminal = await asked('revert', 'asked', 's1');
    expect(terminal.screen()).toMatch(
      /Revert 'asked' to 's1' \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, \d+ (s|min) ago\)\?/,
    );
    expect(terminal.screen()).toMatch(/all that was written on top of 's1' \(taken .*will be lost/i);
    terminal.type(typed);
    const done = await terminal.done;
    expect(done).toMatchObject({ code, screen: expect.stringContaining('nothing was changed') });
    expect(stripVTControlCharacters(done.screen)).toContain('\nerror: ');
    expect(facts(machine)).toEqual(before);
  });

  test('y does it, and so does --yes without a question', async () => {
    const machine = movedOn('asked');
    const terminal = await asked('revert', 'asked', 's1');
    expect(bytes(machine)).toEqual([NOW, NOW]);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
    expect(bytes(machine)).toEqual([THEN, THEN]);
    write(machine, NOW);
    const { code, screen } = await onTerminal(['revert', 'asked', 's1', '--yes']).done;
    expect([code, screen.includes('[y/N]')]).toEqual([0, false]);
    expect(bytes(machine)).toEqual([THEN, THEN]);
  });
});
