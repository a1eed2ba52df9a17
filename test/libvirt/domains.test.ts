import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { listDomains, readByUuid, readDomain } from '../../src/libvirt/domains.ts';
import { readSummaries } from '../../src/libvirt/overview.ts';
import { inText } from '../../src/model/text.ts';
import { capture, VERSIONS } from '../captures.ts';
import { NO_CONNECTION, ODD_NAMES, shown, uuidOf, vm } from './domain-vms.ts';
import { Failure, type FakeLibvirt, fakeLibvirt } from './fake-libvirt.ts';

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
      message: "this command works on one VM, and 'web-*' is a pattern",
      hint: 'it matches web-1, web-2',
    });
    await expect(readDomain(virsh, 'x*')).rejects.toMatchObject({
      code: 'not-found',
      message: "no VM matches 'x*'",
    });
  });

  test('a running id is answered with a hint, never taken', async () => {
    const fake = fakeLibvirt([vm({ name: 'web', id: 7, state: 'running (booted)' })]);
    await expect(readDomain(fake.virsh, '7')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringMatching(/the id of the running VM web/),
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
    { word: 'cetos7-1', names, hint: /^did you mean centos7-1\?$/ },
    { word: 'centos7-1.qcow2', names, hint: /^did you mean centos7-1\?$/ },
    { word: '12', names: ['123'], hint: /^did you mean 123\?$/ },
    { word: 'database', names, hint: /^the VMs are centos7-1, web$/ },
    { word: 'database', names: ['web'], hint: /^the only VM is web$/ },
    { word: 'database', names: [], hint: /^there is no VM at qemu:\/\/\/system$/ },
    { word: 'database', names: [], uri: 'qemu:///session', hint: /--connect qemu:\/\/\/system/ },
    { word: 'database', names, uri: 'qemu:///session', hint: /--connect qemu:\/\/\/system/ },
    { word: 'cetos7-1', names, uri: 'qemu:///session', hint: /^did you mean centos7-1\?$/ },
    { word: '0', names: [], uri: 'qemu:///session', hint: /--connect qemu:\/\/\/system/ },
    { word: 'we', names, hint: /^did you mean web\?$/ },
    { word: 'web/s1', names, hint: /^'web\/s1' names a snapshot, and this command takes only the VM$/ },
  ])('$word among $names at $uri', async ({ word, names, uri = 'qemu:///system', hint }) => {
    const fake = fakeLibvirt(names.map((name) => vm({ name })));
    fake.uri = uri;
    await expect(readDomain(fake.virsh, word)).rejects.toMatchObject({
      code: 'not-found',
      message: `no such VM: ${inText(word)}`,
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
        message: expect.stringMatching(/^cannot read all facts about the VM web: .*An error occurred/),
      });
    },
  );

  test('is read once more by UUID: it may have changed under our eyes', async () => {
    const fake = failing('snapshot-list', 1);
    expect((await readDomain(fake.virsh, 'web')).snapshotNames).toEqual(['s1']);
    expect(fake.processes).toHaveLength(2);
  });

  test('expected failures: no current snapshot, and a driver without checkpoints', async () => {
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
      message: expect.stringMatching(/^cannot read the VM web: failed to get domain/),
    });
  });
});

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
