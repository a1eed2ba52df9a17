import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { inText } from '../../src/model/text.ts';
import { kvmsnap } from '../lab/cli.ts';
import { tool } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { MiB } from '../model.ts';
import { deletedOf, document, failure, fitting, succeed, take, twoDisks } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

/** Writes that many MiB from a MiB on to the disk of a VM that is off. */
function fill(vm: Vm, byte: number, from: number, count: number, disk = 0): void {
  tool('qemu-io', ['-f', 'qcow2', '-c', `write -P ${byte} ${from}M ${count}M`, pathOf(vm, disk)]);
}

/** Bytes that the images take on the host. */
function occupied(vm: Vm): number {
  execFileSync(
    'sync',
    vm.disks.map(({ path }) => path),
  );
  return vm.disks.reduce((sum, { path }) => sum + statSync(path).blocks * 512, 0);
}

/** Three snapshots on two disks that overwrite each other in parts. */
function history(name: string): Vm {
  const vm = twoDisks(name);
  fill(vm, 1, 0, 8);
  take(vm, 's1');
  fill(vm, 2, 0, 4);
  fill(vm, 2, 0, 2, 1);
  take(vm, 's2');
  fill(vm, 3, 2, 4);
  take(vm, 's3');
  fill(vm, 4, 0, 8);
  fill(vm, 4, 1, 2, 1);
  return vm;
}

async function costs(vm: Vm, ...names: string[]) {
  const [domain] = (await document('space', 'space', vm.name, ...names)).domains;
  if (!domain) throw new Error('no VM in the document');
  return domain;
}

/** What a delete rewrites and adds to the metadata, in either direction. */
const REWRITTEN = 0.25 * MiB;

describe('what it says is freed, a real delete frees', () => {
  test.each(['s1', 's2', 's3'])('%s alone', async (name) => {
    const vm = history('alone');
    const { snapshots } = await costs(vm);
    const cost = snapshots.find((snapshot) => snapshot.name === name);
    const dry = await document('dry-run', '--dry-run', 'delete', 'alone', name);
    expect(dry.domains).toMatchObject([
      {
        snapshots: [{ name, freesBytes: cost?.freesBytes }],
        freesBytes: cost?.freesBytes,
        approximate: false,
      },
    ]);
    const before = occupied(vm);
    const { freedBytes } = await deletedOf('alone', name);
    expect(freedBytes).toBe(before - occupied(vm));
    expect(Math.abs((freedBytes ?? 0) - (cost?.freesBytes ?? 0))).toBeLessThan(REWRITTEN);
    expect(cost?.freesBytes).toBeGreaterThan(MiB);
    expect(cost?.disks.map(({ freesBytes }) => freesBytes ?? 0).reduce((a, b) => a + b)).toBe(
      cost?.freesBytes,
    );
  });

  test.each([[['s1', 's2']], [['s2', 's3']], [['s1', 's2', 's3']]])('%j together', async (names) => {
    const vm = history('some');
    const { together, snapshots } = await costs(vm, ...names);
    expect(together.names).toEqual(names);
    const dry = await succeed('--dry-run', 'delete', 'some', ...names);
    expect(dry.stderr.split('\n').map((line) => line.replace(/\d+\.\d/, 'N'))).toEqual([
      ...names.map((name) => `${inText(name)} of some alone would free N MiB`),
      'would free N MiB',
      '',
    ]);
    const before = occupied(vm);
    const { freedBytes } = await deletedOf('some', ...names);
    expect(freedBytes).toBe(before - occupied(vm));
    expect(Math.abs((freedBytes ?? 0) - (together.freesBytes ?? 0))).toBeLessThan(REWRITTEN);
    const single = snapshots.map(({ freesBytes }) => freesBytes ?? 0).reduce((a, b) => a + b);
    expect(together.freesBytes).toBeGreaterThan(single);
  });
});

test('changed counts from the parent, and the guest memory is told apart', async () => {
  const vm = defineVm({ name: 'ran', disks: [{ size: '16M' }], boot: 'counter' });
  fill(vm, 1, 8, 2);
  take(vm, 'off');
  fill(vm, 2, 8, 3);
  start(vm);
  take(vm, 'run');
  const { snapshots, state } = await costs(vm);
  expect(state).toBe('running');
  expect(snapshots.map(({ name, approximate, changedBytes }) => [name, approximate, changedBytes])).toEqual([
    ['off', true, null],
    ['run', true, 3 * MiB],
  ]);
  expect(snapshots[0]?.vmStateBytes).toBe(0);
  expect(snapshots[1]?.vmStateBytes).toBeGreaterThan(256 * 1024);
  expect((await succeed('space', 'ran')).stdout).toMatch(/^run +~\d/m);
  const { stdout } = await succeed('info', 'ran', 'run');
  expect(stdout).toMatch(/^frees +~\d.*\nuses +~\d.*\nchanged +~3\.0 MiB since its parent$/m);
});

test('names, order, and disks', async () => {
  const { snapshots } = await costs(history('shown'));
  const created = snapshots.map(({ name }) => name);
  const dearest = snapshots.toSorted((a, b) => (b.freesBytes ?? 0) - (a.freesBytes ?? 0));
  const order = dearest.map(({ name }) => name);
  expect(order).not.toEqual(created);
  expect((await succeed('space', 'shown', '--sort', 'frees', '-q')).stdout.trim().split('\n')).toEqual(order);
  const { domains } = await document('space', 'space', 'shown', '--sort', 'frees');
  expect(domains[0]?.snapshots.map(({ name }) => name)).toEqual(order);
  expect((await succeed('space', 'shown', '-q')).stdout.trim().split('\n')).toEqual(created);
  expect((await succeed('space', 'shown', 's2', '--disks')).stdout).toMatch(
    /^s2 +- .*\ns2 +vda .*\ns2 +vdb /m,
  );
  expect((await failure(4, 'space', 'shown', 'nosuch')).code).toBe('not-found');
  const { code, screen } = await onTerminal(['space', 'shown']).done;
  expect(code).toBe(0);
  expect(screen).toMatch(/s1 .*█/);
  expect(screen).toContain('share data');
});

test('of all VMs: the most expensive first, with a sum, and the exit code of those that cannot be measured', async () => {
  history('dear');
  defineVm({ name: 'none', disks: [{ size: '8M' }] });
  const cheap = defineVm({ name: 'cheap', disks: [{ size: '8M' }] });
  take(cheap, 's1');
  const { domains } = await document('space', 'space');
  expect(domains.map(({ name }) => name)).toEqual(['dear', 'cheap', 'none']);
  expect(domains[0]).toEqual((await document('space', 'space', 'dear')).domains[0]);
  expect((await succeed('space', '-q')).stdout).toBe('dear\ncheap\nnone\n');
  const { stdout } = await succeed('space');
  expect(stdout).toMatch(
    /^VM +STATE +SNAPSHOTS +FREES\ndear +shut off +3 +\d.*\ncheap .*\nnone +shut off +0 +0 B\n\nfreed if all are deleted +\d/,
  );
  const [head, first] = (await succeed('space', '-o', 'csv')).stdout.split('\n');
  expect([head, first?.split(',').slice(0, 3)]).toEqual([
    'machine,state,snapshots,freesBytes,problem,approximate',
    ['dear', 'shutoff', '3'],
  ]);
  const sum = Number(first?.split(',')[3]);
  expect(sum).toBe(domains[0]?.together.freesBytes);
  defineVm({ name: 'raw', disks: [{ size: '8M', format: 'raw' }] });
  expect((await succeed('space')).stdout).toMatch(/^raw +shut off +0 +0 B$/m);
  await failure(2, 'space', '--disks');
});

test('list --space and info have the same figures, and the tree as well', async () => {
  const vm = history('listed');
  const { snapshots } = await costs(vm);
  const [domain] = (await document('list', 'list', 'listed', '--space')).domains;
  expect(domain?.snapshots.map(({ name, freesBytes }) => [name, freesBytes])).toEqual(
    snapshots.map(({ name, freesBytes }) => [name, freesBytes]),
  );
  const [, s2] = snapshots;
  const { freesBytes, freesClusterBytes, holdsBytes, changedBytes } = s2 ?? {};
  expect((await document('info-snapshot', 'info', 'listed', 's2')).snapshot).toMatchObject({
    ...{ freesBytes, freesClusterBytes, holdsBytes, changedBytes },
    ...{ approximate: false, problem: null },
  });
  for (const options of [[], ['--tree']]) {
    const { stdout } = await succeed('list', 'listed', '--space', ...options);
    expect(stdout).toMatch(/^ +NAME .* FREES {2}DESCRIPTION\n/);
    expect(stdout).toMatch(/s1 .* \d\.\d MiB {2}-\n/);
  }
  expect((await document('list', 'list', 'listed')).domains[0]?.snapshots[0]).not.toHaveProperty(
    'freesBytes',
  );
  await failure(2, 'list', '--all', '--space');
});

test('an image that cannot be measured: exit 5, the reason, and no figures', async () => {
  const vm = defineVm({ name: 'marked', disks: [{ size: '8M' }] });
  take(vm, 's1');
  // the incompatible feature bit "corrupt" (qcow2 specification, header bytes 72 to 79)
  execFileSync('sh', [
    '-c',
    `printf '\\002' | dd of="$1" bs=1 seek=79 conv=notrunc 2>/dev/null`,
    'sh',
    pathOf(vm),
  ]);
  const { code, stdout, stderr } = await kvmsnap(['--json', 'space', 'marked']);
  expect(code).toBe(5);
  const [domain] = fitting('space', JSON.parse(stdout)).domains;
  expect(domain?.snapshots).toMatchObject([
    { freesBytes: null, disks: [{ problem: expect.stringContaining('corrupt') }] },
  ]);
  expect(stderr).toContain('corrupt');
  const list = await document('list', 'list', 'marked', '--space');
  expect(list.domains[0]?.snapshots).toMatchObject([{ name: 's1', freesBytes: null }]);
  const told = await document('info-snapshot', 'info', 'marked', 's1');
  expect(told.snapshot).toMatchObject({ freesBytes: null, problem: expect.stringContaining('corrupt') });
  expect((await succeed('info', 'marked', 's1')).stdout).toMatch(/^space +unknown: vda: .*corrupt/m);
  const dry = await document('dry-run', '--dry-run', 'delete', 'marked', 's1');
  expect(dry.domains).toMatchObject([{ snapshots: [{ name: 's1', freesBytes: null }], freesBytes: null }]);
  const said = await succeed(
    '--dry-run',
    'prune',
    'marked',
    '--match',
    '*',
    '--keep-last',
    '0',
    '--allow-empty',
  );
  expect(said.stderr).toBe('would delete 1 snapshot\nwould free an unknown amount of space\n');
});
