import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal } from '../lab/terminal.ts';
import { tags } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { bytes, deletedOf, document, fail, succeed, tagNames, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

const THEN = 0x11;
const NOW = 0x22;

/** Whether a shell was given one of these names: it would make a file where kvmsnap runs, or libvirtd. */
const touched = (): boolean => [scratch, '/'].some((directory) => existsSync(join(directory, 'touched')));

const home = process.cwd();
beforeAll(() => process.chdir(scratch));
afterAll(() => process.chdir(home));

/** Names that something between here and the image might take for syntax, an option, an id or a pattern. */
const AWKWARD: readonly string[] = [
  'two words',
  ' leading',
  'trailing ',
  "it's",
  '"quoted"',
  `'"'"'`,
  'a; touch touched',
  '$(touch touched)',
  '`touch touched`',
  'a | b > c < d',
  '*',
  '\\',
  'back\\slash\\n',
  '%s%n',
  '#hash',
  '@@echo-0',
  '测试快照',
  '十二个汉字正好三十六字节', // 36 bytes, the length of a UUID
  '😀 emoji',
  '-lead',
  '--all',
  '--',
  '007',
  '101',
  '1.10',
  '0x10',
  '+1',
  'null',
  '<tag attr="&amp;">&lt;',
  'a,b=c',
  'x'.repeat(200),
  '字'.repeat(66),
  'abcdefab-0000-4000-8000-abcdefabcdef', // of the form of a UUID
];

/** Names that only raw virsh gives. */
const FOREIGN: readonly string[] = ['tab\there', 'line\nfeed', 'x'.repeat(247), 'two\nline\nfeeds'];

describe('snapshots', () => {
  let vm: Vm;

  beforeAll(() => {
    vm = defineVm({ name: 'named', disks: [{ size: '16M' }] });
    write(vm, 0x55);
    take(vm, 'bystander');
  });
  afterAll(cleanUp);

  const names = (): string[] => tags(pathOf(vm)).map(({ name }) => name);

  test.each(share(3, FOREIGN))('of raw virsh may be called %j', async (name) => {
    write(vm, THEN);
    take(vm, name);
    expect(names()).toEqual(['bystander', name]);
    write(vm, NOW);

    const { snapshot } = await document('info-snapshot', 'info', '--', 'named', name);
    expect(snapshot).toMatchObject({ name, current: true, disks: [{ copies: 1 }] });

    await succeed('revert', '--', 'named', name);
    expect(bytes(vm)).toEqual([THEN]);
    expect((await deletedOf('--', 'named', name)).deleted).toEqual([name]);
    expect(names()).toEqual(['bystander']);
    expect(snapshotNames(vm)).toEqual(['bystander']);
  });

  test.each(
    share(3, ['', 'a/b', '..', '.hidden', 'tab\there', 'line\nfeed', 'x'.repeat(201), '字'.repeat(67)]),
  )('may not be called %j from now on', async (name) => {
    expect(await fail(2, 'create-as', 'named', name)).toMatch(
      /cannot (be used as the name of a snapshot|have an empty name)/,
    );
    expect([names(), snapshotNames(vm)]).toEqual([['bystander'], ['bystander']]);
  });

  test('all of these names stand in one list', async () => {
    const all = [...AWKWARD, ...FOREIGN];
    for (const name of all) take(vm, name);
    const { domains } = await document('list', 'list', 'named');
    const [{ current, snapshots } = { current: null, snapshots: [] }] = domains;
    expect(current).toBe(all.at(-1));
    expect(snapshots.map(({ name }) => name).sort()).toEqual(['bystander', ...all].sort());
    await succeed('delete', '--yes', '--', 'named', ...all);
    expect(snapshotNames(vm)).toEqual(['bystander']);
  });

  test('show no line feed and no tab in a table, and stay one row', async () => {
    take(vm, 'line\nfeed');
    take(vm, 'tab\there');
    const { stdout } = await succeed('list', 'named');
    expect(stdout.trimEnd().split('\n')).toHaveLength(4);
    expect(stdout).toContain(' line\\nfeed ');
    expect(stdout).toContain(' tab\\there ');
    expect((await succeed('list')).stdout).toMatch(/^named +shut off +3 {2}tab\\there /m);
    expect((await succeed('delete', 'named', 'line\nfeed', 'tab\there', '-q')).stdout).toBe(
      'line\nfeed\ntab\there\n',
    );
    expect(snapshotNames(vm)).toEqual(['bystander']);
  });

  test('are quoted in the lines to paste', async () => {
    const name = `it's $(touch touched); "x"`;
    const { stdout } = await succeed('create-as', 'named', name, '--dry-run');
    pasteOk(stdout);
    expect(names()).toEqual(['bystander', name]);
    pasteOk((await succeed('delete', 'named', name, '--dry-run')).stdout);
    expect(names()).toEqual(['bystander']);
    expect(touched()).toBe(false);
  });
});

describe('vms', () => {
  afterEach(cleanUp);

  // each name once as a VM's and once as a snapshot's, beside others that must not be meant
  const called = AWKWARD.map((name, i) => ({ name, snapshot: AWKWARD[(i + 1) % AWKWARD.length] as string }));
  test.each(share(3, called))(
    'may be called $name, and their snapshots $snapshot',
    async ({ name, snapshot }) => {
      const [vm, other] = [name, 'other'].map((called) =>
        defineVm({ name: called, disks: [{ size: '16M' }] }),
      ) as [Vm, Vm];
      write(vm, 0x55);
      take(vm, 'bystander');
      write(vm, THEN);
      await succeed('create-as', '--', name, snapshot);
      expect([tagNames(vm), tagNames(other)]).toEqual([[['bystander', snapshot]], [[]]]);
      write(vm, NOW);
      const info = await document('info-snapshot', 'info', '--', name, snapshot);
      expect(info).toMatchObject({
        domain: { name, uuid: vm.uuid },
        snapshot: { name: snapshot, current: true, disks: [{ copies: 1 }] },
      });
      await succeed('revert', '--', name, snapshot);
      expect(bytes(vm)).toEqual([THEN]);
      expect((await deletedOf('--', name, snapshot)).deleted).toEqual([snapshot]);
      expect([tagNames(vm), snapshotNames(vm)]).toEqual([[['bystander']], ['bystander']]);
      expect(touched()).toBe(false);
    },
  );

  test('of all these names are in one overview', async () => {
    const vms = AWKWARD.map((name) => defineVm({ name, disks: [{ size: '1M' }] }));
    for (const vm of vms) take(vm, vm.name);
    const { domains } = await document('list', 'list');
    const order = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect(domains.map(({ name, uuid, current }) => ({ name, uuid, current }))).toEqual(
      vms.map(({ name, uuid }) => ({ name, uuid, current: name })).sort(order),
    );
  });

  test('are never meant by their running id, not even beside one of that name (hazard 1)', async () => {
    const runs = defineVm({ name: 'runs', boot: 'idle' });
    start(runs);
    const id = virsh('domid', '--domain', runs.uuid).trim();
    expect(await fail(4, 'list', id)).toContain(`${id} is the id of the running VM runs`);
    const namesake = defineVm({ name: id });
    await succeed('create-as', id, 's1');
    expect([currentSnapshot(namesake), currentSnapshot(runs)]).toEqual(['s1', null]);
    await succeed('delete', id, 's1');
    await fail(4, 'delete', id, 's1');
    expect(tagNames(namesake)).toEqual([[]]);
  });

  test('are never meant by the UUID that another has for a name', async () => {
    const other = defineVm({ name: 'other' });
    const namesake = defineVm({ name: other.uuid });
    await succeed('create-as', other.uuid, 's1');
    expect([tagNames(namesake), tagNames(other)]).toEqual([[['s1']], [[]]]);
    await succeed('create-as', namesake.uuid.toUpperCase(), 's2');
    expect(tagNames(namesake)).toEqual([['s1', 's2']]);
  });
});

/** The hint that ends with the line to paste. */
const meaning = (name: string, line: string): string => `did you mean ${name}?\n        kvmsnap ${line}\n`;

describe('a typing slip', () => {
  let centos: Vm;

  beforeAll(() => {
    centos = defineVm({ name: 'centos7-1' });
    defineVm({ name: 'debian-12' });
    take(centos, 'snapshot-1');
    take(centos, 'before upgrade');
  });
  afterAll(cleanUp);

  test.each(
    share(4, [
      [['list', 'cetos7-1'], 'no such VM: cetos7-1', meaning('centos7-1', 'list centos7-1')],
      [['current', 'CENTOS7-1'], 'no such VM: CENTOS7-1', meaning('centos7-1', 'current centos7-1')],
      [['info', 'centos7-1.qcow2'], 'no such VM: centos7-1.qcow2', meaning('centos7-1', 'info centos7-1')],
      [['revert', 'debain-12', 's1'], 'no such VM: debain-12', meaning('debian-12', 'revert debian-12 s1')],
      [
        ['delete', 'quite different', 's1'],
        "'quite different'",
        isSystemLab ? 'the VMs are ' : 'this is qemu:///session, the VMs of one user',
      ],
      [
        ['info', 'centos7-1/snapshot1'],
        'has no snapshot snapshot1',
        meaning('snapshot-1', 'info centos7-1/snapshot-1'),
      ],
      [
        ['revert', '--yes', 'centos7-1', 'snapshto-1'],
        'has no snapshot snapshto-1',
        meaning('snapshot-1', 'revert centos7-1 snapshot-1'),
      ],
      [
        ['delete', 'centos7-1', 'before-upgrade'],
        'no snapshot before-upgrade',
        meaning("'before upgrade'", "delete centos7-1 'before upgrade'"),
      ],
      [
        ['list', 'centos7-1', '--from', 'snapshto-1'],
        'has no snapshot snapshto-1',
        meaning('snapshot-1', 'list centos7-1 --from snapshot-1'),
      ],
      [
        ['current', 'centos7-1', '--set=snapshto-1'],
        'has no snapshot snapshto-1',
        meaning('snapshot-1', 'current centos7-1 --set=snapshot-1'),
      ],
      [
        ['create-as', 'centos7-1', 's9', '--vm', 'debain-12', '--together'],
        'no snapshot was taken, because 1 of 2 VMs cannot have one: no such VM: debain-12',
        meaning('debian-12', 'create-as centos7-1 s9 --vm debian-12 --together'),
      ],
      [['revert', 'centos7-1', 'zzz'], 'has no snapshot zzz', 'it has '],
      [['revert', 'debian-12', 'snapshot-1'], 'the VM debian-12 has no snapshot', 'it has no snapshots'],
    ]),
  )('%j is exit 4 and names the nearest', async (args, message, hint) => {
    const stderr = await fail(4, ...args);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/\nhint: /);
    expect(stderr).toContain(hint);
  });

  test('in the options of try, and in the name of a group', async () => {
    const tried = await kvmsnap(['try', 'centos7-1', '--vm', 'debain-12', '--', 'touch', 'debain-12']);
    expect([tried.code, tried.stderr]).toEqual([
      125,
      expect.stringContaining(meaning('debian-12', 'try centos7-1 --vm debian-12 touch debain-12')),
    ]);
    await succeed('create-as', 'centos7-1', 'of both', '--vm', 'debian-12', '--together');
    for (const verb of ['revert', 'delete'])
      expect(await fail(4, verb, '--group', 'of-both', '--yes')).toContain(
        meaning("'of both'", `${verb} --group 'of both'`),
      );
    await succeed('delete', '--group', 'of both', '--yes');
  });

  test.each([
    ['snapshot-delet', 'kvmsnap delete'],
    ['lst', 'kvmsnap list'],
    ['rollback', 'kvmsnap revert'],
  ])('the command %s is exit 2 and means %s', async (word, meant) => {
    const says = await fail(2, word, 'centos7-1', 'before upgrade');
    expect(says).toContain(`${meant} centos7-1 'before upgrade'\n`);
  });

  test('asks nothing on a terminal, and changes nothing', async () => {
    const { code, screen } = await onTerminal(['delete', 'centos7-1', 'snapshot-2']).done;
    expect([code, screen.includes('[y/N]')]).toEqual([4, false]);
    expect(tagNames(centos)).toEqual([['snapshot-1', 'before upgrade']]);
  });
});

test.each(share(2, ['bell \x07 and \x1b[31mred', 'tab\there', 'two\nlines', "it's\r\\back", '\u202eleft']))(
  'a hint with the name %j can be pasted from a terminal',
  async (name) => {
    await cleanUp();
    // in one of two disks: a complete one would be registered again, by its VM
    const vm = defineVm({ name: 'odd', disks: [{ size: '8M' }, { size: '8M' }] });
    // QEMU keeps any name, libvirt those that XML can hold
    tool('qemu-img', ['snapshot', '-c', name, pathOf(vm)]);
    const { code, screen } = await onTerminal(['create-as', 'odd', 'next', '--dry-run']).done;
    expect({ code, screen }).toEqual({
      code: 0,
      screen: expect.stringContaining('virsh snapshot-create-as'),
    });
    const checked = await onTerminal(['check', 'odd']).done;
    const [, line = ''] =
      /(qemu-img snapshot -d \$'[^\n]*?\.qcow2)/.exec(stripVTControlCharacters(checked.screen)) ?? [];
    pasteOk(line);
    expect(tagNames(vm)).toEqual([[], []]);
  },
);
