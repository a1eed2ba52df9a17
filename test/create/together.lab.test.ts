// create --together: snapshots of several VMs at one moment, or none; judged by what two guests had written to their disks.
import { existsSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { fingerprint } from '../lab/evidence.ts';
import { sendSignal, tool, virsh, waitFor } from '../lab/lab.ts';
import { isFrozen, lookInto, startLinux } from '../scene/linux-guest.ts';
import { removeMounts, replaceCommand } from '../scene/mount.ts';
import { ahead, goesOn, startPair, writtenIn } from '../scene/pair.ts';
import { slowVirsh } from '../scene/saving.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import {
  bytes,
  count,
  countTo,
  document,
  fail,
  fitting,
  NOW,
  succeed,
  THEN,
  tagNames,
  take,
  write,
} from '../scene/steps.ts';
import {
  cleanUp,
  defineVm,
  domainXml,
  pathOf,
  qemuPid,
  start,
  state,
  stateAndReason,
  type Vm,
} from '../scene/vm.ts';

vi.setConfig({ testTimeout: 600_000 });

afterEach(async () => {
  removeMounts();
  await cleanUp();
});

const together = (name: string, ...options: string[]) => [
  'create-as',
  'app',
  name,
  '--vm',
  'db',
  '--together',
  ...options,
];

const xmlOf = (vm: Vm, name: string): string =>
  virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name);

/** Nothing of kvmsnap is left in the running VM. */
const hasRecord = (vm: Vm): boolean => domainXml(vm).includes('kvmsnap/pause');

/** Nanoseconds that its virtual CPU has run, by libvirt. */
const runTime = (vm: Vm): number =>
  Number(/vcpu\.0\.time=(\d+)/.exec(virsh('domstats', '--vcpu', vm.uuid))?.[1]);

const counters = (): [Vm, Vm] => {
  const vms = ['app', 'db'].map((name) => defineVm({ name, boot: 'counter', disks: [{ size: '8M' }] })) as [
    Vm,
    Vm,
  ];
  for (const vm of vms) start(vm);
  return vms;
};

const countsOn = async (vm: Vm): Promise<void> => countTo(vm, count(vm) + 2);

test('two guests that write in turn: none is ahead of the other in the snapshots, and both go on', async () => {
  const pair = await startPair();
  // what a run over both VMs does: the second one has gone on meanwhile
  take(pair.vms[1], 'before');
  await goesOn(pair);
  take(pair.vms[0], 'before');
  expect(ahead(pair, 'before')).toBeGreaterThan(5);

  const { domains } = await document('create', ...together('s1', '-d', 'both'));
  expect(ahead(pair, 's1')).toBeGreaterThanOrEqual(0);
  expect(ahead(pair, 's1')).toBeLessThanOrEqual(1);
  for (const [i, vm] of pair.vms.entries()) {
    expect([state(vm), hasRecord(vm), xmlOf(vm, 's1').includes('kvmsnap/pause')]).toEqual([
      'running',
      false,
      false,
    ]);
    expect(xmlOf(vm, 's1')).toContain('<state>running</state>');
    expect(domains[i]).toMatchObject({ name: vm.name, outcome: 'done' });
    expect(domains[i]?.snapshot).toMatchObject({
      description: 'both',
      together: ['app', 'db'],
      state: 'running',
    });
    expect(domains[i]?.heldMilliseconds).toBeGreaterThan(0);
  }
  await goesOn(pair);

  await succeed(...together('s2', '--disk-only', '--force'));
  const [app, db] = pair.vms.map((vm) => writtenIn(pathOf(vm), null)) as [number, number];
  expect([0, 1]).toContain(app - db);
  await goesOn(pair);
});

test('a revert lets the guest run from that moment; paused and shut off VMs stay so', async () => {
  const [app, db] = counters();
  await countTo(app, 5);
  virsh('suspend', '--domain', db.uuid);
  defineVm({ name: 'off', disks: [{ size: '8M' }] });
  const { stdout } = await succeed(...together('s1', '--vm', 'off'));
  expect(stdout).toMatch(
    /^app .* running .*taken, paused \d+\.\d s\ndb .* paused .*taken\noff .* shut off .*taken\n$/m,
  );
  const then = count(app);
  expect(state(db)).toBe('paused');
  await countTo(app, then + 200);
  await succeed('revert', 'app', 's1');
  expect(state(app)).toBe('running');
  expect(count(app)).toBeLessThan(then + 200);
  await countsOn(app);
});

test('one that fails: those taken are removed again, exit 3 says so, and all guests go on', async () => {
  const vms = counters();
  replaceCommand(
    '/usr/bin/virsh',
    (original) =>
      `#!/bin/sh\ncase "$*" in *snapshot-create-as*${vms[1].uuid}*) echo 'error: none today' >&2; exit 1 ;; esac\nexec '${original}' "$@"\n`,
  );
  const said = await fail(3, ...together('s1'));
  expect(said).toContain('not all snapshots were taken (the snapshot s1 of app was deleted again)');
  expect(said).toContain('none today');
  expect(vms.map((vm) => [snapshotNames(vm), tagNames(vm), state(vm), hasRecord(vm)])).toEqual(
    vms.map(() => [[], [[]], 'running', false]),
  );
  for (const vm of vms) await countsOn(vm);
});

test('revert --group and delete --group take all of them, or none', async () => {
  const vms = ['app', 'db'].map((name) => defineVm({ name, disks: [{ size: '4M' }] })) as [Vm, Vm];
  const [app, db] = vms;
  for (const vm of vms) write(vm, THEN);
  const { domains } = await document('create', 'create', 'app', 'db', '--label', 'both', '--together');
  const name = domains[0]?.snapshot?.name ?? '';
  expect(name).toMatch(/^both-/);
  expect(vms.map(snapshotNames)).toEqual([[name], [name]]);
  for (const vm of vms) write(vm, NOW);
  expect(await fail(10, 'revert', '--group', name)).toContain('Revert app, db to');
  expect(vms.map(bytes)).toEqual([[NOW], [NOW]]);
  await succeed('revert', '--group', name, '--yes');
  expect(vms.map(bytes)).toEqual([[THEN], [THEN]]);

  // one that cannot be reverted or deleted: none is
  for (const vm of vms) write(vm, NOW);
  await succeed('hold', 'db', name);
  await fail(5, 'delete', '--group', name, '--yes');
  expect(vms.map(tagNames)).toEqual([[[name]], [[name]]]);
  await succeed('unhold', 'db', name);
  tool('qemu-img', ['snapshot', '-d', name, pathOf(db)]);
  await fail(5, 'revert', '--group', name, '--yes');
  expect(vms.map(bytes)).toEqual([[NOW], [NOW]]);
  virsh('snapshot-delete', '--metadata', '--domain', db.uuid, '--snapshotname', name);
  expect(await fail(4, 'revert', '--group', name, '--yes')).toContain('db no longer has the snapshot');
  expect(bytes(app)).toEqual([NOW]);
  // also of one VM that is left, a group is deleted only with consent
  await fail(10, 'delete', '--group', name);
  expect(tagNames(app)).toEqual([[name]]);
  expect((await succeed('delete', '--group', name, '--yes')).stderr).toContain(
    'db no longer has the snapshot',
  );
  expect(vms.map(tagNames)).toEqual([[[]], [[]]]);
});

describe('before anything is paused', () => {
  test.each<[string, number, string[], RegExp]>([
    [
      'a VM that does not exist',
      3,
      ['--vm', 'gone'],
      /no snapshot was taken, because 1 of 3 VMs .*no such VM: gone/,
    ],
    ['a raw disk', 3, ['--vm', 'raw'], /cannot take a snapshot of raw: disk vda/],
    [
      'an option that lets a guest run on',
      2,
      ['--live', '--memspec', '/m'],
      /cannot be combined with --together/,
    ],
    ['--quiesce', 2, ['--disk-only', '--quiesce'], /freezes the guests that have an agent by itself/],
    ['a program that would not be run', 2, ['--before', '/bin/true'], /--before cannot be combined/],
  ])('%s', async (_, code, options, says) => {
    const vms = [
      ...['app', 'db'].map((name) => defineVm({ name, disks: [{ size: '4M' }] })),
      defineVm({ name: 'raw', disks: [{ size: '4M', format: 'raw' }] }),
    ];
    const before = vms.map(fingerprint);
    expect(await fail(code, ...together('s1', ...options))).toMatch(says);
    expect(vms.map(fingerprint)).toEqual(before);
  });
});

/** A run in its middle: both guests stand, and two processes of virsh are about to take the snapshots. */
async function inTheMiddle(...before: string[]) {
  const vms = counters();
  for (const vm of vms) await countTo(vm, 3);
  for (const name of before) for (const vm of vms) take(vm, name);
  const { env, goOn } = slowVirsh('snapshot-create-as');
  const run = spawnKvmsnap(together('s1'), { env });
  const waiting = (uuid = '') =>
    processes().filter(({ args }) =>
      [uuid, 'snapshot-create-as'].every((word) => args.join(' ').includes(word)),
    );
  const bothWait = () => vms.every(({ uuid }) => waiting(uuid).length > 0);
  await waitFor(bothWait, { what: 'both snapshots', timeoutMs: 120_000 });
  expect(vms.map(stateAndReason)).toEqual(['paused (user)', 'paused (user)']);
  return { vms, run, goOn, waiting };
}

test('kvmsnap killed: each virsh lets its guest go on, and its snapshots are no group', async () => {
  const { vms, run, goOn } = await inTheMiddle();
  run.kill('SIGKILL');
  await run.done;
  goOn();
  await waitFor(() => vms.every((vm) => state(vm) === 'running' && !hasRecord(vm)), {
    what: 'guests that go on',
    timeoutMs: 90_000,
  });
  for (const vm of vms) await countsOn(vm);
  expect(await fail(4, 'revert', '--group', 's1', '--yes')).toContain('no group of snapshots is named s1');
  const { stdout } = await kvmsnap(['check', 'app', '--json']);
  expect(fitting('check', JSON.parse(stdout)).domains[0]?.findings).toContainEqual(
    expect.objectContaining({ rule: 'unfinished-together', level: 'warning', snapshot: 's1' }),
  );
});

test.each<[string, (db: Vm, itsVirsh: number | undefined) => number | undefined, string]>([
  ['the virsh of one VM', (_, itsVirsh) => itsVirsh, 'running'],
  ['the QEMU of one VM', (db) => qemuPid(db), 'shut off'],
])('%s killed: the other guest goes on, and no image has the snapshot', async (_, whom, then) => {
  const { vms, run, goOn, waiting } = await inTheMiddle();
  const [app, db] = vms;
  sendSignal(whom(db, waiting(db.uuid)[0]?.pid), 'SIGKILL');
  await waitFor(() => then === 'running' || state(db) === then, { what: 'the death of a guest' });
  goOn();
  const { code, stderr } = await run.done;
  expect([code, stderr]).toEqual([
    3,
    expect.stringMatching(/the snapshot s1 of app(, db)? was deleted again/),
  ]);
  expect(vms.map((vm) => [state(vm), hasRecord(vm), snapshotNames(vm), tagNames(vm)])).toEqual([
    ['running', false, [], [[]]],
    [then, false, [], [[]]],
  ]);
  await countsOn(app);
});

describe('killed when all guests stand', () => {
  /** All of it: also the processes that would take the snapshots. */
  async function killed(...before: string[]): Promise<[Vm, Vm]> {
    const { vms, run, waiting } = await inTheMiddle(...before);
    run.kill('SIGKILL');
    for (const { pid } of waiting()) sendSignal(pid, 'SIGKILL');
    await run.done;
    expect(vms.map(stateAndReason)).toEqual(['paused (user)', 'paused (user)']);
    return vms;
  }

  test('check finds it, check --fix lets them go on, and the next create too', async () => {
    const [app, db] = await killed();
    const { code, stdout } = await kvmsnap(['check', 'app', '--json']);
    expect(code).toBe(5);
    const { domains } = fitting('check', JSON.parse(stdout));
    expect(domains[0]?.findings).toContainEqual(
      expect.objectContaining({ rule: 'left-by-together', level: 'error' }),
    );
    await succeed('check', 'app', '--fix', '--yes');
    expect([state(app), hasRecord(app)]).toEqual(['running', false]);
    const { stderr } = await succeed('create-as', 'db', 's2');
    expect(stderr).toContain('kvmsnap has resumed it');
    expect([state(db), hasRecord(db), xmlOf(db, 's2').includes('<state>running<')]).toEqual([
      'running',
      false,
      true,
    ]);
  });

  test.each([
    { first: ['delete', 'app', 's0'], second: ['prune', 'db', '--keep-last', '1', '--match', 's*'] },
    { first: ['revert', 'app', 's0', '--running'], second: ['try', 'db', '--keep', '--', 'true'] },
  ])('$first.0 and $second.0 let them go on too', async ({ first, second }) => {
    const [app, db] = await killed('s0');
    for (const [vm, words] of [
      [app, first],
      [db, second],
    ] as const) {
      expect((await succeed(...words)).stderr).toContain('kvmsnap has resumed it');
      expect([state(vm), hasRecord(vm)]).toEqual(['running', false]);
    }
  });

  test('a guest that its administrator has paused since stays paused', async () => {
    const [app] = await killed();
    virsh('resume', '--domain', app.uuid);
    const ran = runTime(app);
    await waitFor(() => runTime(app) > ran + 50e6, { what: 'a guest that runs again' });
    virsh('suspend', '--domain', app.uuid);
    const { stdout } = await kvmsnap(['check', 'app', '--fix', '--yes', '--json']);
    expect(fitting('check', JSON.parse(stdout)).domains[0]?.findings).toContainEqual(
      expect.objectContaining({ rule: 'left-by-together', level: 'warning' }),
    );
    await succeed('create-as', 'app', 's3');
    expect(state(app)).toBe('paused');
  });
});

test.runIf(existsSync('/usr/bin/apt-get'))(
  '--disk-only freezes a guest that has an agent, and pauses the others',
  async () => {
    const web = await startLinux('web');
    const db = defineVm({ name: 'db', boot: 'counter', disks: [{ size: '8M' }] });
    start(db);
    const image = pathOf(web);
    const before = web.count();
    await succeed('create-as', 'web', 's1', '--vm', 'db', '--together', '--disk-only', '--force');
    const { needsRecovery, count: written } = lookInto(image);
    expect(needsRecovery).toBe(false);
    expect(written).toBeGreaterThanOrEqual(before);
    expect(web.said()).toContain('hook freeze');
    expect([isFrozen(web), state(web), state(db), hasRecord(web), hasRecord(db)]).toEqual([
      false,
      'running',
      'running',
      false,
      false,
    ]);
    await countsOn(db);
    const then = web.count();
    await waitFor(() => web.count() > then, { what: 'a guest that writes on' });
  },
);
