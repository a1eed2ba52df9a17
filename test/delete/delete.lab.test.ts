import { renameSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal } from '../lab/terminal.ts';
import { FILL_MIB, fullVm, occupied } from '../scene/saving.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import {
  allClean,
  asked,
  count,
  countTo,
  deletedOf,
  document,
  facts,
  fail,
  failure,
  keeps,
  succeed,
  tagNames,
  take,
  twoDisks,
  write,
} from '../scene/steps.ts';
import { cleanUp, destroy, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const BYTES: Readonly<Record<string, number>> = { s1: 0x11, s2: 0x22, s3: 0x33, s4: 0x44 };

/** s1 ─┬─ s2 ─── s3, and s4 below s1, the current one; each of a byte of its own. */
function family(name = 'family'): Vm {
  const vm = twoDisks(name);
  for (const [snapshot, byte] of Object.entries(BYTES)) {
    if (snapshot === 's4') virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    write(vm, byte);
    take(vm, snapshot);
  }
  return vm;
}

/** These and no others, in libvirt and in both images, which are sound; each still holds what it was taken of. */
function expectLeft(vm: Vm, ...names: string[]): void {
  expect(snapshotNames(vm)).toEqual(names);
  expect(tagNames(vm)).toEqual([names, names]);
  expect(names.filter((name) => !keeps(vm, name, BYTES[name] ?? 0))).toEqual([]);
  expect(allClean(vm)).toBe(true);
}

const parentOf = (vm: Vm, name: string): string | null =>
  /<parent>\s*<name>(.*)<\/name>/.exec(snapshotXml(vm, name))?.[1] ?? null;

describe('names', () => {
  test('one goes, its children move to its parent', async () => {
    const vm = family();
    expect((await succeed('delete', 'family', 's2')).stdout).toMatch(/^family +s2 +deleted$/m);
    expectLeft(vm, 's1', 's3', 's4');
    expect([parentOf(vm, 's3'), currentSnapshot(vm)]).toEqual(['s1', 's4']);
    const { domains } = await document('list', 'list', 'family');
    expect(domains[0]?.snapshots.map(({ name, children }) => [name, children])).toEqual([
      ['s1', ['s3', 's4']],
      ['s3', []],
      ['s4', []],
    ]);
  });

  test('several go, under the alias too', async () => {
    const vm = family();
    expect((await succeed('rm', 'family', 's3', 's1', 's3', '-q')).stdout).toBe('s3\ns1\n');
    expectLeft(vm, 's2', 's4');
    expect([parentOf(vm, 's2'), parentOf(vm, 's4')]).toEqual([null, null]);
  });

  test('one of several is missing: the others go, exit 3', async () => {
    const vm = family();
    const { code, stdout, stderr } = await kvmsnap(['delete', 'family', 's2', 'sx', 's3', '--json']);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      domains: [
        {
          name: 'family',
          uuid: vm.uuid,
          outcome: 'failed',
          deleted: ['s2', 's3'],
          failed: [{ name: 'sx', code: 'not-found', message: 'the VM family has no snapshot sx' }],
        },
      ],
    });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'partial', exitCode: 3 } });
    expectLeft(vm, 's1', 's4');
    const table = await kvmsnap(['delete', 'family', 'sx', 's4']);
    expect([
      table.code,
      table.stdout
        .split('\n')
        .slice(1)
        .map((line) => line.split(/ +/).slice(1, 3)),
    ]).toEqual([3, [['s4', 'deleted'], ['sx', 'failed:'], []]]);
    expect(table.stderr).toContain('error: the VM family has no snapshot sx');
    expectLeft(vm, 's1');
  });

  test.each([[['sx']], [['sx', 'sy']]])('all of %j missing: exit 4 and nothing goes', async (names) => {
    const vm = family();
    const before = facts(vm);
    expect((await failure(4, 'delete', 'family', ...names)).code).toBe('not-found');
    expect(facts(vm)).toEqual(before);
  });

  test('--current is the one that virsh calls current, and its parent follows', async () => {
    const vm = family();
    expect(await deletedOf('family', '--current')).toMatchObject({
      deleted: ['s4'],
      failed: [],
    });
    expectLeft(vm, 's1', 's2', 's3');
    expect(currentSnapshot(vm)).toBe('s1');
  });

  test.each(
    share(2, [
      [2, []],
      [2, ['s1', '--current']],
      [2, ['s1', '--children', '--children-only', '--yes']],
      [4, ['--current']],
    ]),
  )('exit %i for %j of a VM that has none', async (code, args) => {
    twoDisks('none');
    await fail(code, 'delete', 'none', ...args);
  });

  test('of a running VM: the guest keeps running', async () => {
    const vm = twoDisks('running', { boot: 'counter' });
    take(vm, 'off');
    start(vm);
    take(vm, 'live');
    const counted = count(vm);
    await succeed('delete', 'running', 'off', 'live');
    expect([snapshotNames(vm), tagNames(vm), state(vm)]).toEqual([[], [[], []], 'running']);
    await countTo(vm, counted + 5);
    destroy(vm);
    expect(allClean(vm)).toBe(true);
  });

  test('memory that was reverted to stays in the image: it is said, with the command that gives it back', async () => {
    const vm = await fullVm('full');
    for (const name of ['s1', 's2']) take(vm, name);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    expect((await succeed('delete', 'full', 's2')).stderr).toMatch(
      /^note: snapshot s2 will be deleted permanently \(taken [^\n]*\n$/,
    );
    const { stderr } = await succeed('delete', 'full', 's1');
    expect(stderr).toMatch(
      /^note: snapshot s1 will be deleted permanently \(taken .*\nnote: after an earlier revert, the image of disk vda still contains \d+\S* MiB of saved memory of s1. To free it, with the VM off:\n {2}kvmsnap check --fix full\n$/,
    );
    destroy(vm);
    expect(occupied(vm)).toBeGreaterThan(FILL_MIB * 1024 * 1024);
    await succeed('check', 'full', '--fix', '--yes');
    expect(occupied(vm)).toBeLessThan(8 * 1024 * 1024);
    expect(allClean(vm)).toBe(true);
  });

  test('--dry-run prints what it would run, and the lines do it', async () => {
    const vm = family();
    const before = facts(vm);
    const plan = async (...names: string[]) =>
      (await succeed('delete', 'family', ...names, '--children-only', '--dry-run')).stdout;
    const line = (name: string) =>
      `virsh snapshot-delete --domain ${vm.uuid} --snapshotname ${name} --children-only  # family\n`;
    expect(await plan('s2', 's1')).toBe(line('s2') + line('s1'));
    // what goes with the one before needs no line
    expect(await plan('s1', 's2')).toBe(line('s1'));
    await fail(4, 'delete', 'family', 's1', 'sx', '--dry-run');
    expect(facts(vm)).toEqual(before);
    pasteOk(line('s2'));
    expectLeft(vm, 's1', 's2', 's4');
  });
});

describe('--children', () => {
  test.each([
    ['--children', ['s2', 's3'], ['s1', 's4']],
    ['--children-only', ['s3'], ['s1', 's2', 's4']],
  ])('%s in a script needs --yes', async (option, gone, left) => {
    const vm = family();
    const before = facts(vm);
    const { code, hint } = await failure(10, 'delete', 'family', 's2', option);
    expect([code, hint]).toEqual(['declined', expect.stringContaining('--yes')]);
    expect(facts(vm)).toEqual(before);
    const { deleted } = await deletedOf('family', 's2', option, '--yes');
    expect([...deleted].sort()).toEqual(gone);
    expectLeft(vm, ...left);
  });

  test('the root takes all with it, and no name twice', async () => {
    const vm = family();
    const { deleted, failed } = await deletedOf('family', 's1', 's3', '--children', '-y');
    expect([...deleted].sort()).toEqual(['s1', 's2', 's3', 's4']);
    expect(failed).toEqual([]);
    expectLeft(vm);
    expect(currentSnapshot(vm)).toBeNull();
  });

  test('a leaf has none, and that is no failure', async () => {
    const vm = family();
    expect((await deletedOf('family', 's3', '--children-only')).deleted).toEqual([]);
    expectLeft(vm, 's1', 's2', 's3', 's4');
  });
});

describe('what libvirt and the images hold differs', () => {
  test('--metadata leaves it in the images', async () => {
    const vm = family();
    await succeed('delete', 'family', 's2', 's4', '--metadata');
    expect(snapshotNames(vm)).toEqual(['s1', 's3']);
    const all = Object.keys(BYTES);
    expect(tagNames(vm)).toEqual([all, all]);
    expect(all.every((name) => keeps(vm, name, BYTES[name] ?? 0))).toBe(true);
  });

  test('one that the images lack goes', async () => {
    const vm = family();
    for (const disk of [0, 1]) tool('qemu-img', ['snapshot', '-d', 's2', pathOf(vm, disk)]);
    tool('qemu-img', ['snapshot', '-d', 's3', pathOf(vm, 0)]);
    await succeed('delete', 'family', 's2', 's3');
    expectLeft(vm, 's1', 's4');
  });

  test('one that an image holds twice is refused; the hint fixes it', async () => {
    const vm = family();
    tool('qemu-img', ['snapshot', '-c', 's2', pathOf(vm, 1)]);
    const before = facts(vm);
    const { code, message, hint, command } = await failure(5, 'delete', 'family', 's2');
    expect([code, message]).toEqual([
      'check',
      'cannot delete s2 of family: disk vdb contains 2 snapshots named s2, and libvirt would delete only the older one',
    ]);
    expect(hint).toContain(command);
    await failure(5, 'delete', 'family', 's1', '--children', '--yes');
    await fail(5, 'delete', 'family', 's2', '--dry-run');
    expect(facts(vm)).toEqual(before);
    pasteOk(command);
    await succeed('delete', 'family', 's2');
    expectLeft(vm, 's1', 's3', 's4');
  });

  test('an image that cannot be opened keeps its snapshot, so it is not called deleted', async () => {
    const vm = family();
    const base = pathOf(vm).replace('vda', 'base');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', base, '16M']);
    tool('qemu-img', ['rebase', '-u', '-b', base, '-F', 'qcow2', pathOf(vm)]);
    renameSync(base, `${base}.away`);
    const { message, hint } = await failure(5, 'delete', 'family', 's2');
    expect(message).toContain(`${base} is missing`);
    expect(hint).toContain('--metadata');
    renameSync(`${base}.away`, base);
    expectLeft(vm, 's1', 's2', 's3', 's4');
    await succeed('delete', 'family', 's2');
    expectLeft(vm, 's1', 's3', 's4');
  });

  test('an image that is gone lets its snapshot go with --metadata', async () => {
    const vm = family();
    renameSync(pathOf(vm, 1), `${pathOf(vm, 1)}.away`);
    await fail(5, 'delete', 'family', 's4');
    await succeed('delete', 'family', 's4', '--metadata');
    expect(snapshotNames(vm)).toEqual(['s1', 's2', 's3']);
  });
});

describe('on a terminal', () => {
  test.each([
    ['n\r', 10, ['s2']],
    ['\x03', 130, ['s2']],
    ['n\r', 10, ['s2', '--children']],
  ])('asks, and %j is exit %i with nothing changed', async (typed, code, args) => {
    const vm = family();
    const before = facts(vm);
    const terminal = await asked('delete', 'family', ...args);
    terminal.type(typed);
    expect(await terminal.done).toMatchObject({
      code,
      screen: expect.stringContaining('nothing was changed'),
    });
    expect(facts(vm)).toEqual(before);
  });

  test('names all that would go, and y lets it', async () => {
    const vm = family();
    const terminal = await asked('delete', 'family', 's2', '--children');
    expect(terminal.screen()).toMatch(
      /s2, taken \d{4}-.* ago\r?\n.*s3, taken .* ago\r?\n.*would free \d+\.?\d* [KM]iB\r?\n.*Delete 2 snapshots of family permanently\? \[y\/N\]/,
    );
    terminal.type('y\r');
    expect(await terminal.done).toMatchObject({ code: 0, screen: expect.stringMatching(/\nfreed \d/) });
    expectLeft(vm, 's1', 's4');
    const { code, screen } = await onTerminal(['delete', 'family', 's4', '-y']).done;
    expect([code, screen.includes('[y/N]')]).toEqual([0, false]);
    expectLeft(vm, 's1');
  });
});
