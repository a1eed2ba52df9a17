// What external snapshots cost, and what merging their overlays gives back, against what virsh's own delete does.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { document, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const DELETES = since({ '7.0': false, '9.0': true });
const REMOVES_MEMORY = since({ '7.0': false, '11.3': true });

const beside = (vm: Vm, file: string): string => join(dirname(pathOf(vm)), file);

/** Bytes that the VM's files take on the host. */
function occupied(vm: Vm): number {
  const paths = ['hda.qcow2', 'e1', 'e2', 'e2.mem']
    .map((file) => beside(vm, file))
    .filter((path) => existsSync(path));
  execFileSync('sync', paths);
  return paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0);
}

function guestWrites(vm: Vm, ...commands: string[]): void {
  for (const command of [...commands, 'flush'])
    virsh('qemu-monitor-command', '--domain', vm.uuid, '--hmp', `qemu-io -d ide0-0-0 "${command}"`);
}

/** Two overlays, the second with memory: 16 MiB, of which 8 are below too, and 8 of which 4 are. */
function layered(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '64M', bus: 'ide' }], boot: 'counter' });
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 1M 16M', pathOf(vm)]);
  start(vm);
  take(vm, 'e1', '--disk-only', '--diskspec', `hda,file=${beside(vm, 'e1')}`);
  guestWrites(vm, 'write -P 2 9M 16M');
  take(vm, 'e2', '--diskspec', `hda,file=${beside(vm, 'e2')}`, '--memspec', `file=${beside(vm, 'e2.mem')}`);
  guestWrites(vm, 'write -P 3 9M 4M', 'write -P 3 40M 4M');
  return vm;
}

async function costs(vm: Vm, ...options: string[]) {
  const [domain] = (await document('space', 'space', vm.name, ...options)).domains;
  if (!domain) throw new Error('no VM in the document');
  return domain;
}

/** Metadata of two overlays and a base. */
const REWRITTEN = 0.75 * MiB;

const near = (bytes: number | null | undefined, expected: number) =>
  expect(Math.abs((bytes ?? Number.NaN) - expected)).toBeLessThan(REWRITTEN);

test('each alone and both together, as a real delete frees it', async () => {
  const vm = layered('layers');
  const { snapshots, together } = await costs(vm, '--exact');
  const [e1, e2] = snapshots;
  expect(snapshots.map(({ approximate }) => approximate)).toEqual([false, false]);
  near(e1?.freesBytes, 8 * MiB);
  near(e1?.holdsBytes, 16 * MiB);
  expect(e1).toMatchObject({
    vmStateBytes: 0,
    changedBytes: null,
    disks: [{ source: beside(vm, 'e1'), problem: null }],
  });

  const memory = statSync(beside(vm, 'e2.mem')).blocks * 512;
  expect(e2?.vmStateBytes).toBe(memory);
  near(e2?.holdsBytes, 8 * MiB + memory);
  near(e2?.freesBytes, 4 * MiB + (REMOVES_MEMORY ? memory : 0));
  near(e2?.disks[0]?.freesBytes, 4 * MiB);
  near(together.freesBytes, 12 * MiB + (REMOVES_MEMORY ? memory : 0));

  for (const name of ['e2', 'e1']) {
    const frees = (await costs(vm, '--exact', name)).together.freesBytes ?? 0;
    const before = occupied(vm);
    const { code } = tryVirsh('snapshot-delete', '--domain', vm.uuid, name);
    expect(code === 0).toBe(DELETES);
    if (DELETES) expect(Math.abs(before - occupied(vm) - frees)).toBeLessThan(0.1 * MiB);
  }
});

test('one that others follow, and one whose overlay is not in use: no figures, and why', async () => {
  const vm = defineVm({ name: 'forked', disks: [{ size: '16M' }] });
  for (const [n, name] of ['root', 'one', 'two'].entries()) {
    take(vm, name, '--disk-only', '--diskspec', `vda,file=${beside(vm, name)}`);
    if (n === 1) virsh('snapshot-current', '--domain', vm.uuid, 'root');
  }
  // the VM is put back by hand, as tutorials tell
  const xml = virsh('dumpxml', '--inactive', '--domain', vm.uuid).replace(
    beside(vm, 'two'),
    beside(vm, 'one'),
  );
  writeFileSync(beside(vm, 'back.xml'), xml);
  virsh('define', beside(vm, 'back.xml'));
  const { snapshots, together } = await costs(vm);
  expect(snapshots.map(({ name, freesBytes, disks }) => [name, freesBytes, disks[0]?.problem])).toEqual([
    ['root', null, '2 snapshots follow it, and libvirt cannot delete such a snapshot'],
    ['one', expect.any(Number), null],
    ['two', null, `its overlay ${beside(vm, 'two')} is not in use`],
  ]);
  expect(together.freesBytes).toBeNull();
});

test('an overlay with parts that are zeros: what it frees depends on QEMU, and every command says so', async () => {
  const vm = defineVm({ name: 'zeros', disks: [{ size: '16M' }] });
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 0 8M', pathOf(vm)]);
  take(vm, 'over', '--disk-only', '--diskspec', `vda,file=${beside(vm, 'over')}`);
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -z 1M 4M', beside(vm, 'over')]);
  const { snapshots } = await costs(vm);
  expect(snapshots.map(({ approximate }) => approximate)).toEqual([true]);
  const { snapshot } = await document('info-snapshot', 'info', vm.name, 'over');
  expect(snapshot.approximate).toBe(true);
  for (const args of [
    ['info', vm.name, 'over'],
    ['list', vm.name, '--space'],
  ])
    expect((await succeed(...args)).stdout).toMatch(/ ~\d/);
});

test.runIf(DELETES)('so does a delete that is only planned', async () => {
  const vm = defineVm({ name: 'zeros', disks: [{ size: '16M' }] });
  take(vm, 'over', '--disk-only', '--diskspec', `vda,file=${beside(vm, 'over')}`);
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -z 1M 4M', beside(vm, 'over')]);
  const { domains } = await document('dry-run', 'delete', vm.name, 'over', '--dry-run');
  expect(domains?.map(({ approximate }) => approximate)).toEqual([true]);
});
