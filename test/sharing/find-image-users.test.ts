import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import type { Context } from '../../src/run/context.ts';
import { type Currency, readUsersOf } from '../../src/sharing/find-image-users.ts';
import { invalidate, nothingKnown } from '../../src/sharing/known-vms.ts';
import { localFiles } from '../host/local-files.ts';
import { Failure, type FakeVm, fakeLibvirt } from '../libvirt/fake-libvirt.ts';

const directory = mkdtempSync(join(tmpdir(), 'users-'));
afterAll(() => rmSync(directory, { recursive: true }));
const IMAGE = join(directory, 'x.qcow2');
writeFileSync(IMAGE, 'not read: what a definition calls raw has nothing beneath it');

const uuidOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

const definition = (path: string, id = '') =>
  `<domain type='qemu'${id}><devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${path}'/><target dev='vda'/></disk></devices></domain>`;

const stored = (name: string, path: string) => `<domainsnapshot>
  <name>${name}</name><state>shutoff</state><creationTime>1795424800</creationTime>
  <disks><disk name='vda' snapshot='internal'/></disks>
  ${definition(path)}
</domainsnapshot>`;

function vm(n: number, path: string, snapshots: Record<string, string> = {}): FakeVm {
  return {
    name: `web-${n}`,
    uuid: uuidOf(n),
    state: 'shut off (shutdown)',
    xml: definition(path),
    snapshots: new Map(Object.entries(snapshots)),
    current: null,
  };
}

function host(...vms: FakeVm[]) {
  const libvirt = fakeLibvirt(vms);
  const notes: string[] = [];
  const time = { now: 0 };
  const ctx = {
    clock: { now: () => time.now },
    virsh: libvirt.virsh,
    files: localFiles,
    connect: () => libvirt.virsh,
    settings: { connect: null },
    interrupts: { pending: null },
    terminal: { note: (line: string) => notes.push(line) },
    known: nothingKnown(),
    noted: new Set(),
  } as unknown as Context;
  const ask = async (currency: Currency = 'now', harmless = false) => {
    const before = libvirt.processes.length;
    const commands = libvirt.commands.length;
    const question = { uri: 'qemu:///system', files: { paths: [IMAGE] }, except: uuidOf(1), harmless };
    const users = await readUsersOf(ctx, question, currency);
    return {
      users: (users.uses.get(IMAGE) ?? []).map(({ vm: { name }, kind, snapshots }) => [
        name,
        kind,
        snapshots,
      ]),
      unknown: users.unknown,
      processes: libvirt.processes.length - before,
      read: libvirt.commands
        .slice(commands)
        .filter(([verb]) => verb === 'snapshot-dumpxml')
        .map((command) => command.at(-1)),
    };
  };
  return { libvirt, notes, ctx, ask, time };
}

test('once all is read, one process tells that nothing has changed, whatever the number of VMs', async () => {
  const others = Array.from({ length: 30 }, (_, i) =>
    vm(i + 3, '/vm/other', { a: stored('a', '/vm/other') }),
  );
  const { ask } = host(vm(1, IMAGE), vm(2, IMAGE, { s1: stored('s1', IMAGE) }), ...others);
  const users = [
    ['web-2', 'disk', []],
    ['web-2', 'tags', ['s1']],
  ];
  expect(await ask()).toMatchObject({ users, processes: 3 });
  expect(await ask()).toEqual({ users, unknown: [], processes: 1, read: [] });
  expect(await ask('old')).toMatchObject({ users, processes: 0 });
});

test('what changes is read again, and nothing else', async () => {
  const second = vm(2, '/vm/a', { s1: stored('s1', '/vm/a') });
  const { libvirt, ask, ctx } = host(vm(1, IMAGE), second);
  expect(await ask()).toMatchObject({ users: [] });
  // a clone that was defined meanwhile
  libvirt.vms.push(vm(3, IMAGE));
  expect(await ask()).toMatchObject({ users: [['web-3', 'disk', []]], processes: 2, read: [] });
  // a disk that was attached, without a word in any list
  second.xml = definition(IMAGE);
  expect(await ask()).toMatchObject({
    users: [
      ['web-2', 'disk', []],
      ['web-3', 'disk', []],
    ],
    processes: 1,
    read: [],
  });
  second.xml = definition('/vm/a');
  second.snapshots = new Map([...second.snapshots, ['s2', stored('s2', IMAGE)]]);
  libvirt.vms.pop();
  expect(await ask()).toMatchObject({ users: [['web-2', 'tags', ['s2']]], read: ['s1', 's2'] });
  // our own write, under the same name
  second.snapshots = new Map([
    ['s1', stored('s1', IMAGE)],
    ['s2', stored('s2', '/vm/a')],
  ]);
  invalidate(ctx.known, second.uuid);
  expect(await ask()).toMatchObject({ users: [['web-2', 'tags', ['s1']]] });
});

test('a managed save is read, in one process for all, and again in the same process as the rest', async () => {
  const save = { managedSave: true, saved: definition(IMAGE) };
  const others = Array.from({ length: 30 }, (_, i) => ({ ...vm(i + 3, '/vm/other'), ...save }));
  const second = vm(2, '/vm/next');
  const { ask } = host(vm(1, IMAGE), second, ...others);
  const users = others.map(({ name }) => [name, 'saved', []]);
  expect(await ask()).toMatchObject({ users, processes: 2 });
  expect(await ask()).toMatchObject({ users, processes: 1 });
  Object.assign(second, save);
  expect(await ask()).toMatchObject({ users: [['web-2', 'saved', []], ...users], processes: 2 });
  // it was started and saved again, with another disk
  second.saved = definition('/vm/another');
  expect(await ask()).toMatchObject({ users, processes: 1 });
  // it was started, or the save was discarded
  Object.assign(second, { managedSave: false });
  expect(await ask()).toMatchObject({ users, unknown: [] });
});

test('a managed save that cannot be read: the VM may use any file', async () => {
  const { ask } = host(vm(1, IMAGE), { ...vm(2, '/vm/next'), managedSave: true }, vm(3, IMAGE));
  for (const _ of [1, 2])
    expect(await ask()).toMatchObject({ users: [['web-3', 'disk', []]], unknown: ['web-2'] });
});

test('a VM that was started is another one, with a definition of its next start', async () => {
  const second = vm(2, IMAGE);
  const { ask, libvirt } = host(vm(1, IMAGE), second);
  await ask();
  second.state = 'running (booted)';
  second.xml = definition(IMAGE, " id='7'");
  libvirt.intercept = ([verb, ...options]) =>
    verb === 'dumpxml' && options.includes('--inactive') && options.includes(second.uuid)
      ? `${definition('/vm/next')}\n\n`
      : undefined;
  expect(await ask()).toMatchObject({ users: [['web-2', 'disk', []]], processes: 2 });
  second.xml = definition('/vm/a', " id='7'");
  expect(await ask()).toMatchObject({ users: [] });
  // attached for the next start only
  libvirt.intercept = ([verb, ...options]) =>
    verb === 'dumpxml' && options.includes('--inactive') && options.includes(second.uuid)
      ? `${definition(IMAGE)}\n\n`
      : undefined;
  expect(await ask()).toMatchObject({ users: [['web-2', 'disk', []]] });
});

test('one VM that cannot be read hides that one only, is told once, and is tried again', async () => {
  const { ask, libvirt, notes } = host(vm(1, IMAGE), vm(2, IMAGE), vm(3, IMAGE));
  await ask();
  const fail = (verb: string) => {
    libvirt.intercept = (command) =>
      command[0] === verb && command.includes(uuidOf(3)) ? new Failure('error: no\n') : undefined;
  };
  for (const verb of ['dumpxml', 'snapshot-list']) {
    fail(verb);
    expect(await ask()).toMatchObject({ unknown: ['web-3'] });
    expect((await ask()).users).toContainEqual(['web-2', 'disk', []]);
  }
  expect(notes).toEqual([expect.stringMatching(/could not read everything about VM web-3/)]);
  libvirt.intercept = () => undefined;
  expect(await ask()).toMatchObject({ unknown: [], users: [{}, {}] });
});

test('a snapshot that cannot be read hides its VM, until it can', async () => {
  const { ask, libvirt } = host(vm(1, IMAGE), vm(2, '/vm/a', { s1: stored('s1', IMAGE) }));
  libvirt.intercept = ([verb]) => (verb === 'snapshot-dumpxml' ? new Failure('error: no\n') : undefined);
  expect(await ask()).toMatchObject({ users: [], unknown: ['web-2'] });
  libvirt.intercept = () => undefined;
  expect(await ask()).toMatchObject({ users: [['web-2', 'tags', ['s1']]], unknown: [] });
});

test('one VM that keeps libvirtd from answering is asked alone, and the others are read', async () => {
  const { ask, libvirt, ctx } = host(vm(1, IMAGE), vm(2, IMAGE), vm(3, IMAGE));
  const read: typeof libvirt.virsh.read = async (commands) => {
    if (commands.some((command) => command.includes(uuidOf(3))))
      throw new KvmsnapError('timed-out', 'virsh did not answer within 45 s');
    return libvirt.virsh.read(commands);
  };
  const hung = { ...libvirt.virsh, read };
  Object.assign(ctx, { virsh: hung, connect: () => hung });
  expect(await ask()).toMatchObject({ users: [['web-2', 'disk', []]], unknown: ['web-3'] });
});

test('whoever asks while another reads gets what is so after it has asked', async () => {
  const { ask, libvirt } = host(vm(1, IMAGE), vm(2, IMAGE));
  await ask();
  const first = ask('now');
  libvirt.vms.push(vm(3, IMAGE));
  const answers = await Promise.all([ask('now'), ask('now'), first]);
  expect(answers.slice(0, 2).map(({ users }) => users.length)).toEqual([2, 2]);
});

test('a change of a VM that had nothing to do with the files is seen before the next write, in one process', async () => {
  const others = Array.from({ length: 30 }, (_, i) =>
    vm(i + 3, '/vm/other', { a: stored('a', '/vm/other') }),
  );
  const [third, fourth] = others as [FakeVm, FakeVm];
  const { ask } = host(vm(1, IMAGE), vm(2, '/vm/a'), ...others);
  await ask();
  third.xml = definition(IMAGE);
  expect(await ask()).toMatchObject({ users: [['web-3', 'disk', []]], processes: 1, read: [] });
  fourth.snapshots = new Map([['b', stored('b', IMAGE)]]);
  expect(await ask()).toMatchObject({
    users: [
      ['web-3', 'disk', []],
      ['web-4', 'tags', ['b']],
    ],
    read: ['b'],
  });
  // a look alone is content with what was read
  third.xml = definition('/vm/other');
  expect(await ask('old')).toMatchObject({ users: [{}, {}], processes: 0 });
});

test('where no data of another VM are changed, snapshots are read only of those that use the files', async () => {
  const others = Array.from({ length: 30 }, (_, i) => vm(i + 3, '/vm/other', { a: stored('a', IMAGE) }));
  const { ask } = host(vm(1, IMAGE), vm(2, IMAGE, { s1: stored('s1', IMAGE) }), ...others);
  expect(await ask('now', true)).toMatchObject({
    users: [
      ['web-2', 'disk', []],
      ['web-2', 'tags', ['s1']],
    ],
    read: ['s1'],
  });
  expect(await ask('now', true)).toMatchObject({
    users: [
      ['web-2', 'disk', []],
      ['web-2', 'tags', ['s1']],
    ],
    read: [],
    processes: 2,
  });
  expect((await ask('now')).users).toHaveLength(32);
});

test('what changes no data of others sees new lists at once, and other definitions of strangers after some seconds', async () => {
  const others = Array.from({ length: 30 }, (_, i) =>
    vm(i + 3, '/vm/other', { a: stored('a', '/vm/other') }),
  );
  const [third, fourth] = others as [FakeVm, FakeVm];
  const { ask, time, ctx } = host(vm(1, IMAGE), ...others);
  await ask('now', true);
  // an external snapshot: the list tells that the definition is another one
  third.xml = definition(IMAGE);
  third.snapshots = new Map([...third.snapshots, ['e', stored('e', '/vm/other')]]);
  expect((await ask('now', true)).users).toEqual([['web-3', 'disk', []]]);
  // our own writes cost no process of their own
  const [, , ...rest] = others;
  for (const each of rest) {
    each.snapshots = new Map([...each.snapshots, ['ours', stored('ours', '/vm/other')]]);
    invalidate(ctx.known, each.uuid);
  }
  expect(await ask('now', true)).toMatchObject({ processes: 2, read: [] });
  fourth.xml = definition(IMAGE);
  time.now += 11_000;
  expect((await ask('now', true)).users).toContainEqual(['web-4', 'disk', []]);
});
