import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { listDomains, readDomains } from '../../src/libvirt/domains.ts';
import { type DomainSummary, readSummaries } from '../../src/libvirt/overview.ts';
import type { Virsh } from '../../src/libvirt/virsh.ts';
import { NO_CONNECTION, type Traits, uuidOf, vm } from './domain-vms.ts';
import { Failure, fakeLibvirt, optionValue } from './fake-libvirt.ts';

describe('many VMs', () => {
  const many = (length: number, traits: Partial<Traits> = {}) =>
    fakeLibvirt(Array.from({ length }, (_, i) => vm({ name: `web-${i}`, has: [`s${i}`], ...traits })));

  test.each([
    ['running', { state: 'running (booted)' }],
    ['off, without a current snapshot', { current: null }],
  ])('%s: all in one process', async (_, traits) => {
    const fake = many(100, traits);
    const read = await readDomains(fake.virsh, fake.vms);
    expect(read.map((each) => ('domain' in each ? [each.domain.name, ...each.snapshotNames] : each))).toEqual(
      fake.vms.map(({ name, snapshots }) => [name, ...snapshots.keys()]),
    );
    expect(fake.processes).toHaveLength(1);
  });

  test.each([
    ['running', { state: 'running (booted)' }],
    ['off, without a current snapshot', { current: null }],
  ])('%s: more than one process holds', async (_, traits) => {
    const fake = many(500, traits);
    const read = await readDomains(fake.virsh, fake.vms);
    expect(read.filter((each) => !('domain' in each))).toEqual([]);
    expect(fake.processes.length).toBeLessThanOrEqual(6);
  });

  test('one that vanished is its failure, and the others are read', async () => {
    const fake = many(3);
    const known = [...fake.vms];
    fake.vms.splice(1, 1);
    const read = await readDomains(fake.virsh, known);
    expect(read.map((each) => ('domain' in each ? each.domain.name : each.code))).toEqual([
      'web-0',
      'refused',
      'web-2',
    ]);
  });

  test('so is one of which something cannot be read', async () => {
    const fake = many(3);
    fake.intercept = ([verb, ...options]) =>
      verb === 'snapshot-list' && optionValue(options, '--domain') === fake.vms[1]?.uuid
        ? new Failure('error: it broke\n')
        : undefined;
    const read = await readDomains(fake.virsh, fake.vms);
    expect(read.map((each) => ('domain' in each ? each.domain.name : each.message))).toEqual([
      'web-0',
      expect.stringMatching(/^cannot read all facts about the VM web-1: .*it broke/),
      'web-2',
    ]);
  });

  test.each([
    ['from the start', 1],
    ['when one is read again', 2],
  ])('without a connection %s there is nothing to go on with', async (_, from) => {
    const fake = many(3);
    const known = [...fake.vms, { name: 'gone', uuid: uuidOf(0) }];
    fake.die = (process) => (process >= from ? NO_CONNECTION : undefined);
    await expect(readDomains(fake.virsh, known)).rejects.toMatchObject({ code: 'unreachable' });
  });
});

/** All of them, none of which may fail. */
async function readAll(virsh: Virsh): Promise<DomainSummary[]> {
  const read = await readSummaries(virsh, await listDomains(virsh));
  return read.map((each) => {
    if ('failure' in each) throw each.failure;
    return each;
  });
}

describe('all VMs', () => {
  test('each with its snapshots, in three processes however many there are', async () => {
    const fake = fakeLibvirt(
      Array.from({ length: 100 }, (_, i) =>
        vm({
          name: `web ${i}`,
          id: i,
          state: i % 2 ? 'running (booted)' : 'paused (user)',
          has: i % 3 ? [`s${i}`, 'two\nlines'] : [],
        }),
      ),
    );
    const read = await readAll(fake.virsh);
    expect(
      read.map(({ name, state, stateReason, current, snapshots }) => ({
        name,
        state,
        stateReason,
        current,
        snapshots: snapshots.map((snapshot) => snapshot.name),
      })),
    ).toEqual(
      Array.from({ length: 100 }, (_, i) => ({
        name: `web ${i}`,
        state: i % 2 ? 'running' : 'paused',
        stateReason: i % 2 ? 'booted' : 'user',
        current: i % 3 ? 'two\nlines' : null,
        snapshots: i % 3 ? [`s${i}`, 'two\nlines'] : [],
      })),
    );
    expect(fake.processes.length).toBeLessThanOrEqual(4); // the fourth for the names with line feeds
  });

  test.each([
    ['no snapshots', [], 2],
    ['plain names', ['a', 'b'], 3],
  ])('%s: the number of processes', async (_, has, processes) => {
    const fake = fakeLibvirt([vm({ name: 'web', has }), vm({ name: 'db', has })]);
    await readAll(fake.virsh);
    expect(fake.processes).toHaveLength(processes);
  });

  test('by UUID only', async () => {
    const fake = fakeLibvirt([vm({ name: '7', has: ['s1'] }), vm({ name: 'web', id: 7 })]);
    const read = await readAll(fake.virsh);
    expect(read.map(({ name, snapshots }) => [name, snapshots.length])).toEqual([
      ['7', 1],
      ['web', 0],
    ]);
  });

  test('none at all', async () => {
    const fake = fakeLibvirt([]);
    expect(await readAll(fake.virsh)).toEqual([]);
    expect(fake.processes).toHaveLength(1);
  });

  test('one that vanished after the list is left out', async () => {
    const fake = fakeLibvirt([vm({ name: 'gone', has: ['s1'] }), vm({ name: 'web', has: ['s2'] })]);
    fake.intercept = ([verb], process) => {
      if (verb === 'list' && process === 1) queueMicrotask(() => fake.vms.shift());
      return undefined;
    };
    expect((await readAll(fake.virsh)).map(({ name }) => name)).toEqual(['web']);
  });

  test.each([
    ['snapshot-list', false],
    ['snapshot-current', false],
    ['snapshot-list', true],
  ])(
    '%s of one failed, another cannot be found: %s; none is shown as if it were whole, and the third is read',
    async (failing, vanishes) => {
      const fake = fakeLibvirt(['web', 'db', 'mail'].map((name) => vm({ name, has: ['s1'] })));
      const [web, , mail] = fake.vms;
      fake.intercept = ([verb = '', ...options]) => {
        const uuid = optionValue(options, '--domain');
        if (vanishes && uuid === mail?.uuid) return new Failure("error: failed to get domain 'mail'\n");
        return verb === failing && uuid === web?.uuid
          ? new Failure('error: internal error: it broke\nerror: in two lines\n')
          : undefined;
      };
      const read = await readSummaries(fake.virsh, await listDomains(fake.virsh));
      expect(read.map((each) => ('failure' in each ? each.failure.code : each.snapshots.length))).toEqual([
        'refused',
        1,
        vanishes ? 'refused' : 1,
      ]);
    },
  );

  test.each([
    ['second', 2, ''],
    ['second', 2, NO_CONNECTION],
    ['third', 3, ''],
    ['third', 3, NO_CONNECTION],
  ])('the %s process ends before it began: not taken for no VMs or no snapshots', async (_, at, stderr) => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['s1'] })], 'qemu:///system');
    fake.die = (process) => (process === at ? stderr : undefined);
    await expect(readAll(fake.virsh)).rejects.toBeInstanceOf(KvmsnapError);
  });
});
