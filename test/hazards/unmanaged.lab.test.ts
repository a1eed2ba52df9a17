// What libvirt does not look after: drives that QEMU is given past it, and VMs that it forgets.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, type Vm } from '../scene/vm.ts';
import { errorsOf } from './promise/findings.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** A VM with a drive that libvirt does not know of; its path. */
function withOwnDrive(name: string): { readonly vm: Vm; readonly drive: string } {
  const vm = defineVm({ name, disks: [{ size: '4M' }] });
  const drive = join(scratch, `${name}-own.qcow2`);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', drive, '4M']);
  const words = ['-drive', `file=${drive},if=ide,format=qcow2`].map((word) => `<qemu:arg value='${word}'/>`);
  const xml = domainXml(vm)
    .replace(/<domain /, "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ")
    .replace('</domain>', `<qemu:commandline>${words.join('')}</qemu:commandline></domain>`);
  const file = join(scratch, `${name}.xml`);
  writeFileSync(file, xml);
  virsh('define', file);
  return { vm, drive };
}

hazard(47, 'a drive in qemu:commandline, VM off', async () => {
  const [twin, one] = [withOwnDrive('twin'), withOwnDrive('web-1')];
  for (const { drive } of [twin, one]) writePattern(drive, 1, 0, 65_536);
  take(twin.vm, 's1');
  const created = await succeed('create-as', 'web-1', 's1');
  for (const { vm, drive } of [twin, one]) {
    expect(tags(drive)).toEqual([]);
    for (const path of [drive, pathOf(vm)]) writePattern(path, 2, 0, 65_536);
  }
  virsh('snapshot-revert', '--domain', twin.vm.uuid, '--snapshotname', 's1');
  const reverted = await succeed('revert', 'web-1', 's1');
  for (const { vm, drive } of [twin, one]) {
    expect(hasPattern(pathOf(vm), 0, 0, 65_536)).toBe(true);
    expect(hasPattern(drive, 2, 0, 65_536)).toBe(true);
  }
  expect(created.stderr).toContain(`file=${one.drive},if=ide,format=qcow2), and libvirt does not include`);
  expect(reverted.stderr).toContain('a revert leaves it as it is');
  expect((await kvmsnap(['check', 'web-1'])).stdout).toContain('command-line-drives');
  return {
    virsh: 'silently leaves the drive out of the snapshot and the revert, exit 0',
    kvmsnap: 'warns before both, and in check',
  };
});

hazard(47, 'a drive in qemu:commandline, VM running', async () => {
  const [twin, one] = [withOwnDrive('twin'), withOwnDrive('web-1')];
  for (const { vm } of [twin, one]) start(vm);
  take(twin.vm, 's1');
  const memoryOf = (path: string) => tags(path).map((tag) => tag.vmStateSize > 0);
  if (memoryOf(twin.drive)[0]) {
    expect(memoryOf(pathOf(twin.vm))).toEqual([false]);
    const { words, refusal } = await refusesAll(one.vm, 'create-as', 'web-1', 's1', '--force');
    expect(refusal.message).toContain('the memory would go into such a drive and not into a disk of the VM');
    return { virsh: 'saves the memory into that drive, exit 0', kvmsnap: `${words}, with --force too` };
  }
  expect([tags(twin.drive), memoryOf(pathOf(twin.vm))]).toEqual([[], [true]]);
  const { stderr } = await succeed('create-as', 'web-1', 's1');
  expect(stderr).toContain('libvirt does not include that in the snapshot');
  return {
    virsh: 'silently leaves the drive out of the snapshot and the revert, exit 0',
    kvmsnap: 'warns before both, and in check',
  };
});

hazard(53, 'a transient VM that stops', async () => {
  const vm = defineVm({ name: 'web-1', disks: [{ size: '4M' }] });
  start(vm);
  virsh('undefine', '--domain', vm.uuid);
  take(vm, 'raw');
  const { stderr } = await succeed('create-as', 'web-1', 's1');
  expect(stderr).toContain('the VM is transient: when it stops, libvirt unregisters its snapshots');
  expect(snapshotNames(vm)).toEqual(['raw', 's1']);
  const { stdout } = await kvmsnap(['check', 'web-1']);
  expect(stdout).toContain('transient');
  destroy(vm);
  expect(tryVirsh('dominfo', vm.uuid).code).not.toBe(0);
  expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['raw', 's1']);

  const other = defineVm({ name: 'web-2', disks: [{ size: '4M' }] });
  start(other);
  virsh('undefine', '--domain', other.uuid);
  const advised = (await errorsOf(other)).find(({ rule }) => rule === 'transient');
  pasteOk(advised?.command ?? null);
  expect(virsh('dominfo', other.uuid)).toMatch(/^Persistent: +yes$/m);
  return {
    virsh: 'forgets the snapshots, but their tags stay',
    kvmsnap: 'warns when one is taken, and in check',
  };
});
