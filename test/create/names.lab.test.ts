// What VMs and snapshots may be called, and who gets a name when several scripts want one.
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, refused, tagCounts } from '../lab/evidence.ts';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function define(name: string, disks = 1): Vm {
  return defineVm({ name, boot: 'idle', disks: Array.from({ length: disks }, () => ({ size: '8M' })) });
}

/** What raw virsh makes of a word that names a VM. */
const virshTakes = (word: string, name: string) =>
  tryVirsh('snapshot-create-as', '--domain', word, '--name', name);

describe('the VM', () => {
  test('is found by its UUID, in capitals too, and never by its running id', async () => {
    const vm = define('web-1');
    start(vm);
    expect((await kvmsnap(['create-as', vm.uuid, 'a'])).code).toBe(0);
    expect((await kvmsnap(['create-as', vm.uuid.toUpperCase(), 'b'])).code).toBe(0);
    const id = virsh('domid', vm.uuid).trim();
    expect(virshTakes(id, 'by-virsh').code).toBe(0);
    expect(await refused('create-as', id, 'c')).toMatchObject({
      exitCode: 4,
      hint: expect.stringContaining(`id of the running VM web-1`),
    });
    expect(snapshotNames(vm)).toEqual(['a', 'b', 'by-virsh']);
  });

  test.each(share(3, ['two words', `it's "q" <&>`, '测试-虚拟机', '-lead', '--all', '$(id);x', '007']))(
    'may be called %s',
    async (name) => {
      const vm = define(name);
      expect((await kvmsnap(['create-as', '--', name, 's1'])).code).toBe(0);
      expect([snapshotNames(vm), tagCounts(vm, 's1')]).toEqual([['s1'], [1]]);
    },
  );
});

describe('the snapshot', () => {
  const AWKWARD = [
    '1', // the first: later it would be another one's id (hazard 31)
    'a b',
    ' lead',
    `it's`,
    '$(id);`id`',
    '-x',
    '--halt',
    '升级前',
    'a,b=%s',
    '007',
    '😀',
  ];

  /** Those that libvirt refuses for a running VM, with what kvmsnap proposes instead (hazard 6). */
  const NO_JOB_NAMES = since<readonly (readonly [string, string])[]>({
    '7.0': [],
    '11.3': [
      ['a b', 'a-b'],
      [' lead', 'lead'],
      [`it's`, 'it-s'],
      ['$(id);`id`', 'id-id'],
      ['升级前', 'snapshot'],
      ['a,b=%s', 'a-b-s'],
      ['😀', 'snapshot'],
    ],
  });

  test.each(['shut off', 'running'])(
    'of a %s VM may have any name that libvirt takes (hazard 6)',
    async (wanted) => {
      const vm = define('web-1');
      if (wanted === 'running') start(vm);
      const refusedHere = wanted === 'running' ? NO_JOB_NAMES.map(([name]) => name) : [];
      const taken = AWKWARD.filter((name) => !refusedHere.includes(name));
      for (const name of taken) {
        const result = await kvmsnap(['create-as', '-q', '--', 'web-1', name]);
        expect(result).toMatchObject({ code: 0, stdout: `${name}\n`, stderr: '' });
        expect(tagCounts(vm, name)).toEqual([1]);
      }
      expect(snapshotNames(vm).sort()).toEqual([...taken].sort());
    },
  );

  test('of a running VM that libvirt refuses with riddles is refused with one that works (hazard 6)', async () => {
    const [twin, vm] = [define('twin'), define('web-1')];
    for (const one of [twin, vm]) start(one);
    for (const [name, proposed] of NO_JOB_NAMES) {
      expect(virshTakes(twin.uuid, name).stderr).toContain(`Invalid job ID 'internal-snapshot-save-${name}'`);
      const before = fingerprint(vm);
      const refusal = await refused('create-as', 'web-1', name);
      expect(refusal).toMatchObject({ exitCode: 5, hint: `use the name ${proposed}` });
      expect(fingerprint(vm)).toEqual(before);
    }
    for (const proposed of new Set(NO_JOB_NAMES.map(([, name]) => name)))
      expect((await kvmsnap(['create-as', 'web-1', proposed])).code).toBe(0);
    expect([snapshotNames(twin), tagCounts(twin, 'a b')]).toEqual([[], [0]]);
  });

  test.each(['"', '\\'])(
    'of a running VM cannot have a %s in its name, which libvirt garbles or refuses',
    async (character) => {
      const name = `a${character}b`;
      const [twin, vm] = [define('twin'), define('web-1')];
      expect((await kvmsnap(['create-as', 'web-1', name])).code).toBe(0);
      expect(tagCounts(vm, name)).toEqual([1]);
      for (const one of [twin, vm]) start(one);
      expect(virshTakes(twin.uuid, name).code).toBe(since({ '7.0': 0, '11.3': 1 }));
      const listed = since({ '7.0': [name], '11.3': [] });
      expect([snapshotNames(twin), tagCounts(twin, name)]).toEqual([listed, [0]]);

      const before = fingerprint(vm);
      expect(await refused('create-as', 'web-1', `${name}2`)).toMatchObject({
        exitCode: 5,
        hint: 'use the name a-b2',
      });
      expect(fingerprint(vm)).toEqual(before);
      expect((await kvmsnap(['create-as', 'web-1', 'a-b2'])).code).toBe(0);
    },
  );

  test('cannot have a name that libvirt breaks at (hazard 5)', async () => {
    const long = 'x'.repeat(248);
    const twin = define('twin');
    expect(virshTakes(twin.uuid, long).stderr).toContain('unable to save metadata');
    expect([snapshotNames(twin), tagCounts(twin, long)]).toEqual([[], [1]]);

    const vm = define('web-1');
    const before = fingerprint(vm);
    for (const name of [long, '快'.repeat(67), 'a/b', '.x', 'a\nb']) {
      const refusal = await refused('create-as', 'web-1', name);
      expect(refusal).toMatchObject({
        exitCode: 2,
        message: expect.stringContaining('cannot be used as the name'),
      });
    }
    expect(fingerprint(vm)).toEqual(before);
    for (const name of ['x'.repeat(200), '快'.repeat(66)]) {
      expect((await kvmsnap(['create-as', 'web-1', name])).code).toBe(0);
      expect(tagCounts(vm, name)).toEqual([1]);
    }
  });

  test('that exists is left as it is', async () => {
    const vm = define('web-1');
    await kvmsnap(['create-as', 'web-1', 's1', '-d', 'the first']);
    const before = { ...fingerprint(vm), xml: snapshotXml(vm, 's1') };
    expect(virshTakes(vm.uuid, 's1')).toMatchObject({ code: 1 });
    expect(await refused('create-as', 'web-1', 's1')).toMatchObject({
      exitCode: 6,
      message: 'VM web-1 already has a snapshot s1',
    });
    expect({ ...fingerprint(vm), xml: snapshotXml(vm, 's1') }).toEqual(before);
  });
});

/** The names that a create of these seconds would give first. */
function coming(seconds: number): string[] {
  const now = Math.floor(Date.now() / 1000);
  return Array.from({ length: seconds }, (_, i) => String(now + i));
}

describe('a name given for you (hazard 27)', () => {
  test('is the time, and a further one when that is taken, by libvirt or by a tag', async () => {
    const vm = define('web-1', 2);
    for (const name of coming(10)) tool('qemu-img', ['snapshot', '-c', name, '--', pathOf(vm, 1)]);
    const first = (await kvmsnap(['create', '-q', 'web-1'])).stdout.trimEnd();
    expect(first).toMatch(/^\d{10}-2$/);

    const names = coming(8);
    const other = define('other');
    for (const name of names) virsh('snapshot-create-as', '--domain', other.uuid, '--name', name);
    const { stdout, stderr } = await kvmsnap(['create', '-q', 'other']);
    expect(stderr).toBe('');
    expect(names).toContain(stdout.replace(/-2\n$/, ''));
    expect(tagCounts(other, stdout.trimEnd())).toEqual([1]);
  });

  test.each(['shut off', 'running'])('six scripts at once get six snapshots of a %s VM', async (wanted) => {
    const vm = define('web-1', 2);
    if (wanted === 'running') start(vm);
    const results = await Promise.all(Array.from({ length: 6 }, () => kvmsnap(['create', '-q', 'web-1'])));
    expect(results.map(({ code, stderr }) => [code, stderr])).toEqual(results.map(() => [0, '']));
    const names = results.map(({ stdout }) => stdout.trimEnd());
    expect(new Set(names).size).toBe(6);
    expect(snapshotNames(vm).sort()).toEqual([...names].sort());
    for (const name of names) expect(tagCounts(vm, name)).toEqual([1, 1]);
  });
});

test.each(['shut off', 'running'])(
  'of four scripts at once with one name, for a %s VM, one gets it',
  async (wanted) => {
    const vm = define('web-1', 2);
    if (wanted === 'running') start(vm);
    for (const name of ['s1', 's2', 's3']) {
      const results = await Promise.all(
        Array.from({ length: 4 }, () => kvmsnap(['create-as', 'web-1', name])),
      );
      expect(
        results.map(({ code, stderr }) => (code === 6 || code === 7 ? 'refused' : [code, stderr])).sort(),
      ).toEqual([[0, ''], 'refused', 'refused', 'refused']);
      expect(tagCounts(vm, name)).toEqual([1, 1]);
    }
    expect(snapshotNames(vm)).toEqual(['s1', 's2', 's3']);
    expect(tags(pathOf(vm))).toHaveLength(3);
  },
);
