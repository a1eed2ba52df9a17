// revert --backup, and names that are the id of another snapshot.
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { pasteAll, refused } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import {
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
  take,
  twoDisks,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import { cleanUp, start, state } from '../scene/vm.ts';
import { editTag } from './raw-revert.ts';

afterAll(cleanUp);

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
