import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { readDomain, readSnapshotNames } from '../../src/libvirt/domains.ts';
import { readSnapshots } from '../../src/libvirt/snapshots.ts';
import type { Virsh } from '../../src/libvirt/virsh.ts';
import { count, LOST, NO_CONNECTION, ODD_NAMES, shown, uuidOf, vm } from './domain-vms.ts';
import { Failure, fakeLibvirt, optionValue } from './fake-libvirt.ts';

describe('the snapshots of one VM', () => {
  test('in the order asked for; one that vanished is left out', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['a', 'b b', '快照', "it's"] })]);
    const uuid = fake.vms[0]?.uuid ?? '';
    const read = await readSnapshots(fake.virsh, { uuid, name: 'web', names: ['快照', 'gone', "it's", 'a'] });
    expect(read.snapshots.map(({ name }) => name)).toEqual(['快照', "it's", 'a']);
    expect(read.unread).toEqual([]);
  });

  describe('one that is listed and that virsh does not print is unread, and why', () => {
    const broken = (...names: string[]) => {
      const fake = fakeLibvirt([vm({ name: 'web', has: ['a', 'b', 'c'] })]);
      fake.intercept = ([verb, ...options]) => {
        const name = optionValue(options, '--snapshotname') ?? '';
        return verb === 'snapshot-dumpxml' && names.includes(name)
          ? new Failure(`error: Unable to encode ${name}\n`)
          : undefined;
      };
      return { fake, wanted: { uuid: fake.vms[0]?.uuid ?? '', name: 'web', names: ['a', 'b', 'c'] } };
    };
    const read = async (virsh: Virsh, wanted: Parameters<typeof readSnapshots>[1]) => {
      const { snapshots, unread } = await readSnapshots(virsh, wanted);
      return [snapshots.map(({ name }) => name), unread.map(({ name, failure }) => [name, failure.message])];
    };

    test('each with its own reason, in one process more', async () => {
      const { fake, wanted } = broken('a', 'c');
      expect(await read(fake.virsh, wanted)).toEqual([
        ['b'],
        [
          ['a', 'cannot read the snapshot a of web: Unable to encode a'],
          ['c', 'cannot read the snapshot c of web: Unable to encode c'],
        ],
      ]);
      expect(fake.processes).toHaveLength(3); // the joints of lines, and those that are left
    });

    test('one that can be read the second time is read', async () => {
      const { fake, wanted } = broken('b');
      const { intercept } = fake;
      fake.intercept = (command, process) => (process < 3 ? intercept(command, process) : undefined);
      expect(await read(fake.virsh, wanted)).toEqual([['a', 'c', 'b'], []]);
    });

    test('also where the list of names fails by then: that tells of nothing that it is gone', async () => {
      const { fake, wanted } = broken('b');
      const { intercept } = fake;
      fake.intercept = (command, process) =>
        command[0] === 'snapshot-list' ? new Failure('error: no list\n') : intercept(command, process);
      expect(await read(fake.virsh, wanted)).toEqual([
        ['a', 'c'],
        [['b', expect.stringContaining('Unable to encode b')]],
      ]);
    });

    test('what makes no sense is unread too, and stops no other', async () => {
      const { fake, wanted } = broken();
      const { intercept } = fake;
      fake.intercept = (command, process) =>
        command.includes('b') ? '<domainsnapshot>\n' : intercept(command, process);
      expect(await read(fake.virsh, wanted)).toEqual([
        ['a', 'c'],
        [['b', expect.stringContaining('cannot parse the output of virsh about a snapshot')]],
      ]);
    });
  });

  test('none cost no process', async () => {
    const fake = fakeLibvirt([]);
    const none = { uuid: uuidOf(1), name: 'web', names: [] };
    expect(await readSnapshots(fake.virsh, none)).toEqual({ snapshots: [], unread: [] });
    expect(fake.processes).toHaveLength(0);
  });

  test.each([
    [['two\nlines']],
    [['a', 'two\nlines', 'z']],
    [['two\nlines', 'two']],
    [['1\n2\n3\n4']],
    [['a\nb', 'c\nd']],
    [['a', 'a\nb', 'b']],
  ])('names with line feeds: %j', async (has) => {
    const fake = fakeLibvirt([vm({ name: 'web', has })]);
    const { domain, snapshotNames } = await readDomain(fake.virsh, 'web');
    const read = await readSnapshots(fake.virsh, { ...domain, names: snapshotNames });
    expect(read.unread).toEqual([]);
    expect(read.snapshots.map(({ name }) => name).sort()).toEqual([...has].sort());
  });

  test.each([
    ['virsh was killed before the first', ''],
    ['the connection was lost', NO_CONNECTION],
  ])('are not silently none: %s', async (_, stderr) => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['a', 'b'] })]);
    fake.die = () => stderr;
    const wanted = { uuid: fake.vms[0]?.uuid ?? '', name: 'web', names: ['a', 'b'] };
    await expect(readSnapshots(fake.virsh, wanted)).rejects.toBeInstanceOf(KvmsnapError);
  });

  test('are not silently fewer: the connection was lost in the middle, and virsh found none again', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['a', 'b', 'c'] })]);
    fake.intercept = ([verb, ...options]) =>
      verb !== 'snapshot-dumpxml' || optionValue(options, '--snapshotname') === 'a'
        ? undefined
        : new Failure(optionValue(options, '--snapshotname') === 'b' ? LOST : NO_CONNECTION);
    const wanted = { uuid: fake.vms[0]?.uuid ?? '', name: 'web', names: ['a', 'b', 'c'] };
    await expect(readSnapshots(fake.virsh, wanted)).rejects.toBeInstanceOf(KvmsnapError);
  });
});

describe('the names of snapshots', () => {
  test.each(ODD_NAMES)('of %j', async (name) => {
    const fake = fakeLibvirt([vm({ name: 'other', has: ['no'] }), vm({ name, has: ['s 1', '-2'] })]);
    expect(await readSnapshotNames(fake.virsh, [name])).toEqual(['s 1', '-2']);
  });

  test('cost one process, or two where the word could be an id, a UUID or is one of several', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['a'] }), vm({ name: '101', has: ['b'] })]);
    expect(await readSnapshotNames(fake.virsh, ['web'])).toEqual(['a']);
    expect(fake.processes).toHaveLength(1);
    expect(await readSnapshotNames(fake.virsh, ['101'])).toEqual(['b']);
    expect(fake.processes).toHaveLength(3);
    expect(await readSnapshotNames(fake.virsh, ['101', 'w*', 'nosuch'])).toEqual(['a', 'b']);
    expect(fake.processes).toHaveLength(5);
  });

  test('are never those of the VM that runs under that id (hazard 1)', async () => {
    const fake = fakeLibvirt([
      vm({ name: 'runs', id: 101, has: ['wrong'] }),
      vm({ name: '101', has: ['right'] }),
    ]);
    expect(await readSnapshotNames(fake.virsh, ['101'])).toEqual(['right']);
    expect(await readSnapshotNames(fake.virsh, ['102'])).toEqual([]);
    expect(shown(fake, '101')).toEqual([]);
  });

  test('of another VM than the one of that name are not believed', async () => {
    const fake = fakeLibvirt([vm({ name: 'other', has: ['wrong'] }), vm({ name: 'web', has: ['right'] })]);
    fake.intercept = ([verb, ...options]) =>
      optionValue(options, '--domain') !== 'web'
        ? undefined
        : verb === 'domuuid'
          ? uuidOf(count - 1)
          : 'wrong\n';
    expect(await readSnapshotNames(fake.virsh, ['web'])).toEqual(['right']);
  });

  test('of no VM are none', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['a'] })]);
    expect(await readSnapshotNames(fake.virsh, ['nosuch'])).toEqual([]);
    expect(await readSnapshotNames(fake.virsh, [])).toEqual([]);
  });
});
