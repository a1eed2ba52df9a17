// What external snapshots cost, and what merging their overlays gives back, against what virsh's own delete does.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import { cleanUp, defineMachine, type Machine, pathOf, start } from '../lab/machine.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { document, succeed, take } from '../lab/scene.ts';

afterEach(cleanUp);

const DELETES = since({ '7.0': false, '9.0': true });
const REMOVES_MEMORY = since({ '7.0': false, '11.3': true });

const beside = (machine: Machine, file: string): string => join(dirname(pathOf(machine)), file);

/** Bytes that the machine's files take on the host. */
function occupied(machine: Machine): number {
  const paths = ['hda.qcow2', 'e1', 'e2', 'e2.mem']
    .map((file) => beside(machine, file))
    .filter((path) => existsSync(path));
  execFileSync('sync', paths);
  return paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
}

function guestWrites(machine: Machine, ...commands: string[]): void {
  for (const command of [...commands, 'flush'])
    virsh('qemu-monitor-command', '--domain', machine.uuid, '--hmp', `qemu-io -d ide0-0-0 "${command}"`);
}

/** Two overlays, the second with memory: 16 MiB, of which 8 are below too, and 8 of which 4 are. */
function layered(name: string): Machine {
  const machine = defineMachine({ name, disks: [{ size: '64M', bus: 'ide' }], boot: 'counter' });
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 1M 16M', pathOf(machine)]);
  start(machine);
  take(machine, 'e1', '--disk-only', '--diskspec', `hda,file=${beside(machine, 'e1')}`);
  guestWrites(machine, 'write -P 2 9M 16M');
  take(
    machine,
    'e2',
    '--diskspec',
    `hda,file=${beside(machine, 'e2')}`,
    '--memspec',
    `file=${beside(machine, 'e2.mem')}`,
  );
  guestWrites(machine, 'write -P 3 9M 4M', 'write -P 3 40M 4M');
  return machine;
}

async function costs(machine: Machine, ...options: string[]) {
  const [domain] = (await document('space', 'space', machine.name, ...options)).domains;
  if (!domain) throw new Error('no machine in the document');
  return domain;
}

/** Metadata of two overlays and a base. */
const REWRITTEN = 0.75 * MiB;

const near = (bytes: number | null | undefined, expected: number) =>
  expect(Math.abs((bytes ?? Number.NaN) - expected)).toBeLessThan(REWRITTEN);

test('each alone and both together, as a real delete frees it', async () => {
  const machine = layered('layers');
  const { snapshots, together } = await costs(machine, '--exact');
  const [e1, e2] = snapshots;
  expect(snapshots.map(({ approximate }) => approximate)).toEqual([false, false]);
  near(e1?.freesBytes, 8 * MiB);
  near(e1?.holdsBytes, 16 * MiB);
  expect(e1).toMatchObject({
    vmStateBytes: 0,
    changedBytes: null,
    disks: [{ source: beside(machine, 'e1'), problem: null }],
  });

  const memory = statSync(beside(machine, 'e2.mem')).blocks * 512;
  expect(e2?.vmStateBytes).toBe(memory);
  near(e2?.holdsBytes, 8 * MiB + memory);
  near(e2?.freesBytes, 4 * MiB + (REMOVES_MEMORY ? memory : 0));
  near(e2?.disks[0]?.freesBytes, 4 * MiB);
  near(together.freesBytes, 12 * MiB + (REMOVES_MEMORY ? memory : 0));

  for (const name of ['e2', 'e1']) {
    const frees = (await costs(machine, '--exact', name)).together.freesBytes ?? 0;
    const before = occupied(machine);
    const { code } = tryVirsh('snapshot-delete', '--domain', machine.uuid, name);
    expect(code === 0).toBe(DELETES);
    if (DELETES) expect(Math.abs(before - occupied(machine) - frees)).toBeLessThan(0.1 * MiB);
  }
});

test('one that others follow, and one whose overlay is not in use: no figures, and why', async () => {
  const machine = defineMachine({ name: 'forked', disks: [{ size: '16M' }] });
  for (const [n, name] of ['root', 'one', 'two'].entries()) {
    take(machine, name, '--disk-only', '--diskspec', `vda,file=${beside(machine, name)}`);
    if (n === 1) virsh('snapshot-current', '--domain', machine.uuid, 'root');
  }
  // the machine is put back by hand, as tutorials tell
  const xml = virsh('dumpxml', '--inactive', '--domain', machine.uuid).replace(
    beside(machine, 'two'),
    beside(machine, 'one'),
  );
  writeFileSync(beside(machine, 'back.xml'), xml);
  virsh('define', beside(machine, 'back.xml'));
  const { snapshots, together } = await costs(machine);
  expect(snapshots.map(({ name, freesBytes, disks }) => [name, freesBytes, disks[0]?.problem])).toEqual([
    ['root', null, '2 snapshots follow it, and libvirt deletes no such one'],
    ['one', expect.any(Number), null],
    ['two', null, `its overlay ${beside(machine, 'two')} is not in use`],
  ]);
  expect(together.freesBytes).toBeNull();
});

test('an overlay with parts that are zeros: what it frees depends on QEMU, and every command says so', async () => {
  const machine = defineMachine({ name: 'zeros', disks: [{ size: '16M' }] });
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 0 8M', pathOf(machine)]);
  take(machine, 'over', '--disk-only', '--diskspec', `vda,file=${beside(machine, 'over')}`);
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -z 1M 4M', beside(machine, 'over')]);
  const { snapshots } = await costs(machine);
  expect(snapshots.map(({ approximate }) => approximate)).toEqual([true]);
  const { snapshot } = await document('info-snapshot', 'info', machine.name, 'over');
  expect(snapshot.approximate).toBe(true);
  for (const args of [
    ['info', machine.name, 'over'],
    ['list', machine.name, '--space'],
  ])
    expect((await succeed(...args)).stdout).toMatch(/ ~\d/);
});

test.runIf(DELETES)('so does a delete that is only planned', async () => {
  const machine = defineMachine({ name: 'zeros', disks: [{ size: '16M' }] });
  take(machine, 'over', '--disk-only', '--diskspec', `vda,file=${beside(machine, 'over')}`);
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -z 1M 4M', beside(machine, 'over')]);
  const { domains } = await document('dry-run', 'delete', machine.name, 'over', '--dry-run');
  expect(domains?.map(({ approximate }) => approximate)).toEqual([true]);
});
