import { existsSync, renameSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pasteAll, pasteOk, refused, writableImages } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
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
} from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  domainXml,
  pathOf,
  qemuPid,
  start,
  state,
  type Vm,
} from '../scene/vm.ts';

afterAll(cleanUp);

function revertRaw(vm: Vm, name: string) {
  return tryVirsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name);
}

/** With qemu-img, behind libvirt's back: `-c` makes a tag, `-d` deletes the oldest of that name. */
function editTag(vm: Vm, disk: number, action: '-c' | '-d', name: string): void {
  tool('qemu-img', ['snapshot', action, name, pathOf(vm, disk)]);
}

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

  test.each([
    [4, ['--current'], 'has no current snapshot'],
    [4, ['s1'], 'has no snapshot s1'],
    [2, [], 'give either the name of a snapshot or --current'],
    [2, ['s1', '--current'], 'give either the name of a snapshot or --current'],
    [2, ['s1', '--running', '--paused'], 'cannot be combined'],
  ])('exit %i for %j on a VM that has none', async (code, args, words) => {
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

describe('--backup', () => {
  afterEach(cleanUp);

  test('keeps what is on the disks, before they are reverted', async () => {
    const vm = movedOn('kept');
    const said = await document('revert', 'revert', 'kept', 's1', '--backup');
    const name = said.backup?.name ?? '';
    expect(name).toMatch(/^before-revert-\d{8}T\d{6}Z$/);
    expect(bytes(vm)).toEqual([THEN, THEN]);
    expect(keeps(vm, name, NOW)).toBe(true);
    expect(snapshotNames(vm).sort()).toEqual([name, 's1']);
    await succeed('revert', 'kept', name);
    expect(bytes(vm)).toEqual([NOW, NOW]);
  });

  test('keeps the memory of a running guest too', async () => {
    const vm = movedOn('alive');
    start(vm);
    await countTo(vm, 60);
    writeAsGuest(vm, 0x44);
    const { stdout } = await succeed('revert', 'alive', 's1', '--backup-name', 'my-backup');
    expect(stdout).toContain('my-backup');
    expect(state(vm)).toBe('shut off');
    expect(bytes(vm)).toEqual([THEN, THEN]);
    await succeed('revert', 'alive', 'my-backup', '--paused');
    expect(count(vm)).toBeGreaterThanOrEqual(60);
    expect(bytes(vm)).toEqual([0x44, 0x44]);
  });

  test.each([
    [6, 'taken', 'already has a snapshot taken'],
    [2, 'a/b', "'a/b' cannot be used as the name of a snapshot"],
    [5, 'orphan', 'already contains a snapshot orphan'],
  ])('that cannot be taken, exit %i for the name %s, stops the revert', async (code, name, words) => {
    const vm = movedOn('refused');
    take(vm, 'taken');
    editTag(vm, 1, '-c', 'orphan');
    const before = facts(vm);
    expect(await fail(code, 'revert', 'refused', 's1', '--backup-name', name)).toContain(words);
    expect(facts(vm)).toEqual(before);
  });

  test('of a VM that has got a raw disk meanwhile stops the revert', async () => {
    const vm = movedOn('raw');
    const raw = `${scratch}/extra.raw`;
    tool('qemu-img', ['create', '-q', '-f', 'raw', raw, '1M']);
    virsh('attach-disk', vm.uuid, raw, 'vdc', '--config', '--driver', 'qemu', '--subdriver', 'raw');
    const before = facts(vm);
    expect(await fail(5, 'revert', 'raw', 's1', '--backup')).toContain(`disk vdc (${raw}) is raw`);
    expect(facts(vm)).toEqual(before);
  });
});

describe('a disk that lacks the snapshot', () => {
  afterEach(cleanUp);

  test('is refused, whatever the options, and none is touched', async () => {
    const vm = movedOn('incomplete');
    editTag(vm, 1, '-d', 's1');
    const before = facts(vm);
    for (const option of [[], ['--force'], ['--running'], ['--backup'], ['--dry-run']]) {
      const { code, message } = await failure(5, 'revert', 'incomplete', 's1', ...option);
      expect([code, message]).toEqual([
        'check',
        expect.stringContaining(`disk vdb (${pathOf(vm, 1)}) does not contain`),
      ]);
    }
    expect(facts(vm)).toEqual(before);
    expect(before.bytes).toEqual([NOW, NOW]);
  });

  test('is found where the memory alone is lacking', async () => {
    const vm = twoDisks('memory', { boot: 'counter' });
    start(vm);
    take(vm, 's1');
    destroy(vm);
    editTag(vm, 0, '-d', 's1');
    editTag(vm, 0, '-c', 's1');
    const before = facts(vm);
    expect(await fail(5, 'revert', 'memory', 's1')).toContain('no disk contains its memory');
    expect(facts(vm)).toEqual(before);
  });

  test('or holds it twice is refused, and the hint fixes it', async () => {
    const vm = movedOn('twice');
    editTag(vm, 0, '-c', 's1');
    const before = facts(vm);
    const { message, hint, command } = await failure(5, 'revert', 'twice', 's1');
    expect(message).toContain('contains 2 snapshots named s1 (ids 1, 2)');
    expect(hint).toContain('the older one');
    expect(facts(vm)).toEqual(before);
    pasteOk(command);
    expect(tags(pathOf(vm)).map(({ id }) => id)).toEqual(['2']);
    await succeed('revert', 'twice', 's1');
    // the younger one was made of NOW
    expect(bytes(vm)).toEqual([NOW, THEN]);
  });
});

describe('a name that is the id of another snapshot (hazard 31)', () => {
  afterEach(cleanUp);

  test('is not given to a new one', async () => {
    const vm = twoDisks('new');
    take(vm, 'a');
    const before = facts(vm);
    expect(await fail(5, 'create-as', 'new', '1')).toContain('such as snapshot-1');
    expect(facts(vm)).toEqual(before);
  });

  test('but its own id is no hindrance', async () => {
    const vm = twoDisks('own');
    write(vm, THEN);
    await succeed('create-as', 'own', '1');
    write(vm, NOW);
    await succeed('revert', 'own', '1');
    expect(bytes(vm)).toEqual([THEN, THEN]);
  });
});

describe('a name that is the id that the backup would get (hazard 31)', () => {
  afterEach(cleanUp);

  test('is refused: the backup would be brought back instead; what the hint says helps', async () => {
    const vm = twoDisks('next');
    write(vm, THEN);
    take(vm, '3');
    write(vm, NOW);
    take(vm, 'later');
    const before = facts(vm);
    const refusal = await refused('revert', 'next', '3', '--backup');
    expect(refusal.message).toContain('the backup would get the id 3');
    expect(facts(vm)).toEqual(before);
    pasteAll(refusal);
    expect(keeps(vm, 'before-3', NOW)).toBe(true);
    await succeed('revert', 'next', '3');
    expect(bytes(vm)).toEqual([THEN, THEN]);
  });
});

describe('what has changed since', () => {
  afterEach(cleanUp);

  test('a disk added is named, and goes from the VM as with virsh (hazard 16)', async () => {
    const vm = movedOn('added');
    const added = `${scratch}/added.qcow2`;
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', added, '1M']);
    virsh('attach-disk', vm.uuid, added, 'vdc', '--config', '--driver', 'qemu', '--subdriver', 'qcow2');
    expect(domainXml(vm)).toContain(added);
    const { stderr } = await succeed('revert', 'added', 's1');
    expect(stderr).toContain(`disk vdc is removed from the VM (the file stays: ${added})`);
    expect(bytes(vm)).toEqual([THEN, THEN]);
    expect(domainXml(vm)).not.toContain(added);
    expect(existsSync(added)).toBe(true);
  });

  test('an overlay in use is not left behind without --force (hazard 17)', async () => {
    const vm = movedOn('overlaid');
    take(vm, 'over', '--disk-only', '--diskspec', 'vdb,snapshot=no');
    const overlay = pathOf(vm).replace(/qcow2$/, 'over');
    tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x55 1M 64k', overlay]);
    const before = facts(vm);
    const { message } = await failure(5, 'revert', 'overlaid', 's1');
    expect(message).toContain(`disk vda: the VM now uses ${overlay}, but the snapshot is in ${pathOf(vm)}`);
    expect(facts(vm)).toEqual(before);

    const { stderr } = await succeed('revert', 'overlaid', 's1', '--force');
    expect(stderr).toContain(`warning: disk vda: the VM now uses ${overlay}`);
    expect(domainXml(vm)).not.toContain(overlay);
    expect(bytes(vm)).toEqual([THEN, THEN]);
    expect(byteIn(overlay)).toBe(0x55);
  });

  test('a snapshot outside of the images is refused where libvirtd cannot go back to it, only there', async () => {
    const vm = movedOn('external');
    take(vm, 'over', '--disk-only');
    for (const overlay of writableImages(vm)) writePattern(overlay, 0x55, 1024 * 1024, 64 * 1024);
    if (since({ '7.0': true, '9.9': false })) {
      const before = facts(vm);
      const refused = await failure(5, 'revert', 'external', 'over');
      expect(refused.message).toContain('cannot revert to external snapshots');
      expect(facts(vm)).toEqual(before);
      expect(revertRaw(vm, 'over').code).toBe(1);
    } else {
      await succeed('revert', 'external', 'over');
      expect([state(vm), currentSnapshot(vm)]).toEqual(['shut off', 'over']);
      // libvirt makes new overlays over what the snapshot kept
      expect(writableImages(vm).map(byteIn)).toEqual([NOW, NOW]);
    }
  });

  test('a managed save is explained, and the hint helps (hazard 11)', async () => {
    const vm = movedOn('saved');
    start(vm);
    virsh('managedsave', vm.uuid);
    const before = facts(vm);
    const { message, command } = await failure(5, 'revert', 'saved', 's1');
    expect(message).toContain('managed save');
    expect(facts(vm)).toEqual(before);
    expect(virsh('list', '--all', '--with-managed-save', '--name').trim()).toBe('saved');
    pasteOk(command);
    await succeed('revert', 'saved', 's1');
    expect(bytes(vm)).toEqual([THEN, THEN]);

    start(vm);
    virsh('managedsave', vm.uuid);
    await succeed('revert', 'saved', 's1', '--force');
    expect([state(vm), bytes(vm)]).toEqual(['shut off', [THEN, THEN]]);
  });

  test.each([
    ['the image', (vm: Vm) => pathOf(vm, 1)],
    ['the backing file of an image', (vm: Vm) => pathOf(vm).replace('vda', 'base')],
  ])('%s is missing: named, and no disk is touched (hazard 24)', async (_, lost) => {
    const vm = twoDisks('broken');
    const base = lost(vm).includes('base') ? lost(vm) : null;
    if (base) {
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', base, '16M']);
      tool('qemu-img', ['rebase', '-u', '-b', base, '-F', 'qcow2', pathOf(vm)]);
    }
    write(vm, THEN);
    take(vm, 's1');
    write(vm, NOW);
    renameSync(lost(vm), `${lost(vm)}.away`);
    expect(await fail(5, 'revert', 'broken', 's1')).toContain(`${lost(vm)} is missing`);
    renameSync(`${lost(vm)}.away`, lost(vm));
    expect(bytes(vm)).toEqual([NOW, NOW]);
    await succeed('revert', 'broken', 's1');
    expect(bytes(vm)).toEqual([THEN, THEN]);
  });
});

describe('a snapshot under way (hazard 25)', () => {
  afterEach(cleanUp);

  test('is neither reverted to nor deleted, and comes to its end', async () => {
    const vm = twoDisks('held', { boot: 'counter' });
    start(vm);
    const { done } = await takeHalf(vm, 'half');
    try {
      for (const args of [
        ['revert', 'held', 'half'],
        ['revert', 'held', 'half', '--force'],
        ['delete', 'held', 'half'],
        ['delete', 'held', 'half', '--children', '--yes'],
      ])
        expect(await fail(7, ...args)).toContain('is still being taken');
    } finally {
      continueQemu(vm);
    }
    await done;
    expect([state(vm), currentSnapshot(vm)]).toEqual(['running', 'half']);
    expect(tagNames(vm)).toEqual([['half'], ['half']]);
    await succeed('revert', 'held', 'half');
    await succeed('delete', 'held', 'half');
    expect(tagNames(vm)).toEqual([[], []]);
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
