// create --label with rules of retention, judged by virsh and by the tags in the images.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { tags } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { created, document, fail, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start } from '../scene/vm.ts';
import { hourly, labeled, now, present, small } from './dated.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

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

  test.each(
    share(2, [
      [['--label', 'two words', '--keep-last', '1']],
      [['--label', 'nightly-20261123T030000Z', '--keep-last', '1']],
      [['--keep-last', '1']],
      [['--label', 'nightly', '--keep-within', '3 days']],
      [['--label', 'nightly', '--keep-last', '-1']],
      [['--label', 'nightly', '--keep-last', 'all']],
    ]),
  )('a wrong %j is exit 2 and does nothing', async (options) => {
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
