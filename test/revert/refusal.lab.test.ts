// What has changed since the snapshot was taken, and what a revert refuses because of it.
import { existsSync, renameSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { pasteOk, writableImages } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot } from '../scene/snapshot.ts';
import {
  byteIn,
  bytes,
  facts,
  fail,
  failure,
  movedOn,
  NOW,
  succeed,
  THEN,
  tagNames,
  take,
  takeHalf,
  twoDisks,
  write,
} from '../scene/steps.ts';
import { cleanUp, continueQemu, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { editTag, revertRaw } from './raw-revert.ts';

afterAll(cleanUp);

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
