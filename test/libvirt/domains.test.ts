import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import {
  listDomains,
  readByUuid,
  readDomain,
  readDomains,
  readSnapshotNames,
} from '../../src/libvirt/domains.ts';
import { type DomainSummary, readSummaries } from '../../src/libvirt/overview.ts';
import { readSnapshots } from '../../src/libvirt/snapshots.ts';
import type { Virsh } from '../../src/libvirt/virsh.ts';
import { capture, storedDefinition, VERSIONS } from '../captures.ts';
import { Failure, type FakeLibvirt, type FakeVm, fakeLibvirt, optionValue } from './fake-libvirt.ts';

/** Names as libvirt takes them, beside those that virsh mistakes for something else. */
const ODD_NAMES = [
  'centos 7 1',
  '  ',
  '虚拟机-1',
  "it's; $(x)",
  '--all',
  '-x',
  '#1',
  '%s',
  'a\tb',
  'x'.repeat(36),
];

const uuidOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** Descriptions and names in XML as virsh prints them. */
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

const snapshotXml = (name: string): string => `<domainsnapshot>
  <name>${escaped(name)}</name>
  <state>shutoff</state>
  <creationTime>1795424800</creationTime>
  <disks><disk name='vda' snapshot='internal'/></disks>
  <domain type='qemu'><devices><disk type='file' device='disk'><source file='/vm/a'/><target dev='vda'/></disk></devices></domain>
</domainsnapshot>
`;

interface Traits extends Partial<Omit<FakeVm, 'snapshots' | 'xml'>> {
  readonly name: string;
  readonly has?: readonly string[];
}

let count = 0;

function vm({ has = [], uuid = uuidOf(++count), ...traits }: Traits): FakeVm {
  const definition = storedDefinition('12.8.0')
    .replace(/<name>.*<\/name>/, `<name>${escaped(traits.name)}</name>`)
    .replace(/<uuid>.*<\/uuid>/, `<uuid>${uuid}</uuid>`);
  return {
    state: 'shut off (shutdown)',
    current: has.at(-1) ?? null,
    ...traits,
    uuid,
    xml: definition,
    snapshots: new Map(has.map((name) => [name, snapshotXml(name)])),
  };
}

/** The commands that were shown this word. */
const shown = ({ commands }: FakeLibvirt, word: string): string[] =>
  commands.filter((command) => command.includes(word)).map(([verb = '']) => verb);

describe('reading one VM', () => {
  test.each(ODD_NAMES)('by its exact name %j', async (name) => {
    const fake = fakeLibvirt([vm({ name: 'other' }), vm({ name, has: ['s1', 's2'] })]);
    expect(await readDomain(fake.virsh, name)).toMatchObject({
      uri: 'qemu:///system',
      domain: { name, uuid: fake.vms[1]?.uuid, state: 'shutoff', stateReason: 'shutdown' },
      snapshotNames: ['s1', 's2'],
      current: 's2',
    });
  });

  test('costs one process, or two where the name could be an id or a UUID', async () => {
    const fake = fakeLibvirt([vm({ name: 'web' }), vm({ name: '101' })]);
    await readDomain(fake.virsh, 'web');
    expect(fake.processes).toHaveLength(1);
    await readDomain(fake.virsh, '101');
    expect(fake.processes).toHaveLength(3);
  });

  test.each(VERSIONS)('in the texts of libvirt %s', async (version) => {
    const [[uuid = '', name = ''] = []] = capture(version, 'list-all-uuid.out')
      .split('\n')
      .map((line) => line.split(' '));
    const texts: Record<string, string> = {
      list: capture(version, 'list-all-uuid.out'),
      dumpxml: capture(version, 'dom-dumpxml-live.out').replace(/<uuid>.*<\/uuid>/, `<uuid>${uuid}</uuid>`),
      domstate: capture(version, 'domstate.out'),
      'snapshot-list': capture(version, 'list-name.out'),
      'snapshot-current': capture(version, 'current-name.out'),
    };
    const fake = fakeLibvirt([vm({ name, uuid })]);
    fake.intercept = ([verb = '', ...options]) =>
      options.includes('--with-managed-save') ? undefined : texts[verb];
    expect(await readDomain(fake.virsh, name)).toMatchObject({
      domain: {
        name: 'b-fix',
        uuid,
        state: 'running',
        stateReason: expect.stringMatching(/./),
        managedSave: false,
      },
      snapshotNames: [expect.stringMatching(/^\d+$/), 'ext1', 'extmem1', 'off1', 'run1'],
      current: 'extmem1',
    });
  });

  test.each([
    ['shut off (destroyed)', { state: 'shutoff', stateReason: 'destroyed' }],
    ['shut off (from snapshot)', { state: 'shutoff', stateReason: 'from snapshot' }],
    ['running (booted)', { state: 'running', stateReason: 'booted' }],
    ['paused (creating snapshot)', { state: 'paused', stateReason: 'creating snapshot' }],
    ['in shutdown (user)', { state: 'shutdown', stateReason: 'user' }],
    ['crashed (panicked)', { state: 'crashed', stateReason: 'panicked' }],
    ['paused (unknown)', { state: 'paused', stateReason: '' }],
    ['pmsuspended', { state: 'pmsuspended', stateReason: '' }],
  ])('in the state %s', async (state, is) => {
    const fake = fakeLibvirt([vm({ name: 'web', state })]);
    expect((await readDomain(fake.virsh, 'web')).domain).toMatchObject(is);
  });

  test('with a managed save and checkpoints', async () => {
    const fake = fakeLibvirt([
      vm({ name: 'other' }),
      vm({ name: 'web', managedSave: true, checkpoints: ['cp 1', 'cp2'] }),
    ]);
    expect((await readDomain(fake.virsh, 'web')).domain).toMatchObject({
      managedSave: true,
      checkpoints: ['cp 1', 'cp2'],
    });
    expect((await readDomain(fake.virsh, 'other')).domain).toMatchObject({
      managedSave: false,
      checkpoints: [],
    });
  });

  test('whose current snapshot has a line feed in its name', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['two\nlines'] })]);
    expect((await readDomain(fake.virsh, 'web')).current).toBe('two\nlines');
  });
});

describe('a word that virsh would take for an id or a UUID (hazard 1)', () => {
  const uuid = 'abcdef00-0000-4000-8000-000000000900';

  test.each(['101', ' 101', '+101', '0101', '4294967397'])(
    '%j is the VM of that name, and virsh is asked by UUID only',
    async (word) => {
      const fake = fakeLibvirt([
        vm({ name: 'runs as 101', id: 101, state: 'running (booted)' }),
        vm({ name: word, uuid }),
      ]);
      expect((await readDomain(fake.virsh, word)).domain.uuid).toBe(uuid);
      expect(shown(fake, word)).toEqual(['domname']);
    },
  );

  test('a VM called like the UUID of another', async () => {
    const other = vm({ name: 'other' });
    const fake = fakeLibvirt([other, vm({ name: other.uuid, uuid })]);
    expect((await readDomain(fake.virsh, other.uuid)).domain.uuid).toBe(uuid);
    expect(shown(fake, other.uuid)).toEqual(['domname']);
  });

  test.each([uuid, uuid.toUpperCase()])('the UUID %s', async (word) => {
    const fake = fakeLibvirt([vm({ name: 'web', uuid })]);
    expect((await readDomain(fake.virsh, word)).domain.name).toBe('web');
  });

  test('a pattern is told from a name that nobody has', async () => {
    const { virsh } = fakeLibvirt(['web-2', 'web-1', 'db'].map((name) => vm({ name })));
    await expect(readDomain(virsh, 'web-*')).rejects.toMatchObject({
      code: 'usage',
      message: "one VM is wanted here, by its name, and 'web-*' is a pattern",
      hint: "it matches 'web-1', 'web-2'",
    });
    await expect(readDomain(virsh, 'x*')).rejects.toMatchObject({
      code: 'not-found',
      message: "no such VM: none matches 'x*'",
    });
  });

  test('a running id is answered with a hint, never taken', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', id: 7, state: 'running (booted)' })]);
    await expect(readDomain(fake.virsh, '7')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringMatching(/running id of 'web'/),
    });
  });

  test('an answer about another VM than the one of that name is not believed', async () => {
    const [wrong, right] = [vm({ name: 'wrong' }), vm({ name: 'web' })];
    const fake = fakeLibvirt([wrong, right]);
    fake.intercept = ([verb, , word]) => (verb === 'dumpxml' && word === 'web' ? wrong.xml : undefined);
    expect((await readDomain(fake.virsh, 'web')).domain.uuid).toBe(right.uuid);
    expect(fake.processes).toHaveLength(2);
  });
});

describe('a job that holds the VM', () => {
  test.each([
    ['ok', false],
    ['background job (1.234s)', true],
    ['occupied (0.010s)', true],
    ['error: monitor failure', false],
  ])('%s: %s', async (control, busy) => {
    const fake = fakeLibvirt([vm({ name: 'web', state: 'running (booted)', control })]);
    expect((await readDomain(fake.virsh, 'web')).domain.busy).toBe(busy);
  });

  test('there is none of a VM that is off', async () => {
    const fake = fakeLibvirt([vm({ name: 'web' })]);
    expect((await readDomain(fake.virsh, 'web')).domain.busy).toBe(false);
  });
});

describe('a VM that is not there', () => {
  const names = ['centos7-1', 'web'];

  test.each([
    { word: 'cetos7-1', names, hint: /^did you mean 'centos7-1'\?$/ },
    { word: 'centos7-1.qcow2', names, hint: /^did you mean 'centos7-1'\?$/ },
    { word: '12', names: ['123'], hint: /^did you mean '123'\?$/ },
    { word: 'database', names, hint: /^kvmsnap list shows all VMs$/ },
    { word: 'database', names: [], hint: /^there is no VM at qemu:\/\/\/system$/ },
    { word: 'database', names: [], uri: 'qemu:///session', hint: /--connect qemu:\/\/\/system/ },
    { word: 'database', names, uri: 'qemu:///session', hint: /--connect qemu:\/\/\/system/ },
    { word: 'cetos7-1', names, uri: 'qemu:///session', hint: /^did you mean 'centos7-1'\?$/ },
    { word: '0', names: [], uri: 'qemu:///session', hint: /--connect qemu:\/\/\/system/ },
  ])('$word among $names at $uri', async ({ word, names, uri = 'qemu:///system', hint }) => {
    const fake = fakeLibvirt(names.map((name) => vm({ name })));
    fake.uri = uri;
    await expect(readDomain(fake.virsh, word)).rejects.toMatchObject({
      code: 'not-found',
      message: `no such VM: '${word}'`,
      hint: expect.stringMatching(hint),
    });
  });
});

describe('a reading that is not whole', () => {
  const REFUSED = new Failure('error: An error occurred, but the cause is unknown\n');
  const NO_CHECKPOINTS = new Failure(
    'error: this function is not supported by the connection driver: virDomainListAllCheckpoints\n',
  );

  const failing = (verb: string, processes = Number.POSITIVE_INFINITY) => {
    const fake = fakeLibvirt([vm({ name: 'web', has: ['s1'] })]);
    fake.intercept = ([asked], process) =>
      asked === verb && process <= processes
        ? new Failure(`${REFUSED.stderr}error: and another\n`)
        : undefined;
    return fake;
  };

  test.each(['snapshot-list', 'checkpoint-list', 'snapshot-current', 'domcontrol', 'uri'])(
    '%s failed: one error too many',
    async (verb) => {
      await expect(readDomain(failing(verb).virsh, 'web')).rejects.toMatchObject({
        code: 'refused',
        message: expect.stringMatching(/^cannot read all of the VM 'web': .*An error occurred/),
      });
    },
  );

  test('is read once more by UUID: it may have changed under our eyes', async () => {
    const fake = failing('snapshot-list', 1);
    expect((await readDomain(fake.virsh, 'web')).snapshotNames).toEqual(['s1']);
    expect(fake.processes).toHaveLength(2);
  });

  test('what may fail in peace: no current snapshot, and a driver without checkpoints', async () => {
    const fake = fakeLibvirt([vm({ name: 'web' })]);
    fake.intercept = ([verb]) => (verb === 'checkpoint-list' ? NO_CHECKPOINTS : undefined);
    expect(await readDomain(fake.virsh, 'web')).toMatchObject({ current: null, snapshotNames: [] });
  });

  test('no current snapshot does not excuse a list that failed', async () => {
    const fake = fakeLibvirt([vm({ name: 'web' })]);
    fake.intercept = ([verb]) => (verb === 'snapshot-list' ? REFUSED : undefined);
    await expect(readDomain(fake.virsh, 'web')).rejects.toBeInstanceOf(KvmsnapError);
  });

  test('the VM vanished after it was resolved', async () => {
    const fake = fakeLibvirt([vm({ name: 'other' })]);
    await expect(readByUuid(fake.virsh, uuidOf(555), 'web')).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/^cannot read the VM 'web': failed to get domain/),
    });
  });
});

const NO_CONNECTION = `error: failed to connect to the hypervisor
error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused
`;

const LOST = `error: Disconnected from qemu:///system due to end of file
error: End of file while reading data: Input/output error
`;

describe('no libvirt', () => {
  test.each([
    ['listMachines', listDomains],
    [
      'readSummaries',
      (virsh: FakeLibvirt['virsh']) => readSummaries(virsh, [{ name: 'web', uuid: uuidOf(1) }]),
    ],
    ['readMachine by name', (virsh: FakeLibvirt['virsh']) => readDomain(virsh, 'web')],
    ['readMachine by id', (virsh: FakeLibvirt['virsh']) => readDomain(virsh, '7')],
    ['readByUuid', (virsh: FakeLibvirt['virsh']) => readByUuid(virsh, uuidOf(1))],
  ])('%s is unreachable', async (_, read) => {
    const fake = fakeLibvirt([vm({ name: 'web' })]);
    fake.die = () => NO_CONNECTION;
    await expect(read(fake.virsh)).rejects.toMatchObject({ code: 'unreachable' });
  });
});

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
          ['a', "cannot read the snapshot 'a' of 'web': Unable to encode a"],
          ['c', "cannot read the snapshot 'c' of 'web': Unable to encode c"],
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
        [['b', expect.stringContaining('cannot make sense of what virsh says of a snapshot')]],
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
      expect.stringMatching(/^cannot read all of the VM 'web-1': .*it broke/),
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
