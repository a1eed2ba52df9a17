// Snapshots outside of the images: what raw virsh overwrites, and what it leaves lying about.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { libvirtdPid, repairLibvirtd } from '../lab/daemon.ts';
import { pasteOk } from '../lab/evidence.ts';
import { tryVirsh, virsh } from '../lab/lab.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, domainXml, pathOf, start, state, stateAndReason, type Vm } from '../scene/vm.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function running(name: string): Vm {
  const vm = defineVm({ name, boot: 'counter', disks: [{ size: '4M' }] });
  start(vm);
  return vm;
}

const memoryFile = (vm: Vm) => join(dirname(pathOf(vm)), 's1.mem');
const external = (vm: Vm, name: string) =>
  take(vm, name, '--memspec', memoryFile(vm), '--diskspec', 'vda,snapshot=external');

hazard(14, 'memory file that exists already', async () => {
  const [twin, vm] = [running('twin'), running('web-1')];
  const content = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
  for (const one of [twin, vm]) external(one, 's1');
  const before = [twin, vm].map((one) => content(memoryFile(one)));
  external(twin, 's2');
  expect(content(memoryFile(twin))).not.toBe(before[0]);

  const file = memoryFile(vm);
  const { words, refusal } = await refusesAll(
    vm,
    ...['create-as', 'web-1', 's2', '--memspec', file, '--diskspec', 'vda,snapshot=external', '--force'],
  );
  expect(refusal.message).toContain(file);
  expect(content(file)).toBe(before[1]);
  return {
    virsh: 'overwrites the memory of the older snapshot, exit 0',
    kvmsnap: `${words}, with --force too`,
  };
});

/** Files beside the disk that neither the VM nor a snapshot of it knows any more. */
function left(vm: Vm): string[] {
  const xml = [domainXml(vm), ...snapshotNames(vm).map((name) => snapshotXml(vm, name))].join();
  const directory = dirname(pathOf(vm));
  return readdirSync(directory)
    .filter((file) => !xml.includes(join(directory, file)) && !/^(boot|VM\.xml)$/.test(file))
    .map((file) => (file.endsWith('.mem') ? 'the memory file' : 'an overlay'));
}

const raw = (command: string, vm: Vm, name: string) =>
  tryVirsh(command, '--domain', vm.uuid, '--snapshotname', name).code;

/** One for virsh and one for kvmsnap, `web-1`. */
function twins(make: (name: string) => Vm): [Vm, Vm] {
  return [make('twin'), make('web-1')];
}

/** A small VM that is off, with disk-only snapshots of these names. */
function layered(name: string, ...snapshots: string[]): Vm {
  const vm = defineVm({ name, disks: [{ size: '4M' }] });
  for (const snapshot of snapshots) take(vm, snapshot, '--disk-only');
  return vm;
}

const overlay = (vm: Vm, name: string) => pathOf(vm).replace(/qcow2$/, name);

hazard(23, 'delete of an external snapshot with memory', async () => {
  const [twin, vm] = twins(running);
  for (const one of [twin, vm]) external(one, 's1');
  const code = raw('snapshot-delete', twin, 's1');
  if (code !== 0) {
    const { words } = await refusesAll(vm, 'delete', 'web-1', 's1');
    return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  }
  const { stderr } = await succeed('delete', 'web-1', 's1', '--leftovers');
  expect(left(vm)).toEqual([]);
  const told = stderr.includes(memoryFile(vm));
  return {
    virsh: `leaves ${left(twin).join(', ') || 'nothing'}, exit 0`,
    kvmsnap: told ? 'names what is left; --leftovers removes it' : 'leaves nothing',
  };
});

hazard(23, 'revert of a VM with an overlay in use', async () => {
  const [twin, vm] = twins((name) => {
    const made = layered(name, 'e1');
    take(made, 'i2');
    return made;
  });
  const code = raw('snapshot-revert', twin, 'e1');
  if (code !== 0) {
    const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1');
    return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  }
  const inUse = (one: Vm) => /<source file='([^']*)'/.exec(domainXml(one))?.[1] ?? '';
  const abandoned = inUse(twin);
  expect(raw('snapshot-revert', twin, 'i2')).toBe(0);
  expect([inUse(twin) === abandoned, existsSync(abandoned)]).toEqual([false, true]);

  await succeed('revert', 'web-1', 'e1');
  const ours = inUse(vm);
  const { stderr } = await succeed('revert', 'web-1', 'i2', '--force');
  expect(stderr).toContain(ours);
  pasteOk(/To remove it:\n +(rm .*)$/m.exec(stderr)?.[1] ?? null);
  expect(existsSync(ours)).toBe(false);
  return {
    virsh: 'leaves an overlay that nothing uses, exit 0',
    kvmsnap: 'names what is left, and the command that removes it',
  };
});

hazard(32, 'delete of an external snapshot whose overlay holds an internal one', async () => {
  const [twin, vm] = twins((name) => {
    const made = layered(name, 'e1');
    take(made, 'i2');
    return made;
  });
  const code = raw('snapshot-delete', twin, 'e1');
  const { words } = await refusesAll(vm, 'delete', 'web-1', 'e1');
  if (code !== 0) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  expect([snapshotNames(twin), tags(pathOf(twin))]).toEqual([['i2'], []]);
  return { virsh: 'loses the internal one, exit 0', kvmsnap: words };
});

hazard(33, 'delete of a snapshot whose file the VM uses', async () => {
  const [twin, vm] = twins((name) => {
    const made = layered(name, 'e1', 'e2');
    virsh('snapshot-current', '--domain', made.uuid, '--snapshotname', 'e1');
    return made;
  });
  const code = raw('snapshot-delete', twin, 'e2');
  if (code === 0 && existsSync(overlay(twin, 'e1'))) {
    await succeed('delete', 'web-1', 'e2');
    return { virsh: 'works', kvmsnap: 'works' };
  }
  const { words } = await refusesAll(vm, 'delete', 'web-1', 'e2');
  expect(existsSync(overlay(vm, 'e1'))).toBe(true);
  return {
    virsh: code === 0 ? 'removes the file: the VM is broken, exit 0' : `cannot, exit ${code}`,
    kvmsnap: words,
  };
});

hazard(34, 'delete of an external snapshot next to a branch', async () => {
  const [twin, vm] = twins((name) => layered(name, 'e1', 'e2', 'e3'));
  const cannotRevert = raw('snapshot-revert', twin, 'e2') !== 0;
  if (cannotRevert) return { virsh: 'there are no branches', kvmsnap: 'there are no branches' };
  expect(raw('snapshot-revert', vm, 'e2')).toBe(0);
  const code = raw('snapshot-delete', twin, 'e1');
  const crashed = libvirtdPid() === undefined;
  await repairLibvirtd();
  if (code === 0) {
    await succeed('delete', 'web-1', 'e1');
    return { virsh: 'works', kvmsnap: 'works' };
  }
  const { words } = await refusesAll(vm, 'delete', 'web-1', 'e1');
  return { virsh: crashed ? 'libvirtd crashes, exit 1' : `cannot, exit ${code}`, kvmsnap: words };
});

hazard(35, 'delete of an external snapshot while there is a managed save', async () => {
  const [twin, vm] = twins((name) => {
    const made = running(name);
    take(made, 'e1', '--disk-only');
    virsh('managedsave', made.uuid);
    return made;
  });
  const code = raw('snapshot-delete', twin, 'e1');
  const { words } = await refusesAll(vm, 'delete', 'web-1', 'e1');
  start(vm);
  if (code !== 0) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  expect(tryVirsh('start', '--domain', twin.uuid).code).toBe(1);
  return { virsh: 'the saved VM cannot be started any more, exit 0', kvmsnap: words };
});

hazard(36, 'revert to a snapshot whose memory file is missing, VM running', async () => {
  const [twin, vm] = twins((name) => {
    const made = running(name);
    external(made, 's1');
    rmSync(memoryFile(made));
    return made;
  });
  const code = raw('snapshot-revert', twin, 's1');
  const end = stateAndReason(twin);
  const { words } = await refusesAll(vm, 'revert', 'web-1', 's1', '--force');
  expect(state(vm)).toBe('running');
  return {
    virsh: end.startsWith('shut off')
      ? `stops the guest, and its memory is lost: ${end}, exit ${code}`
      : `cannot, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running`,
  };
});

hazard(37, 'delete of an external snapshot over a file that another VM is based on', async () => {
  const cloned = (name: string) => {
    const golden = layered(name);
    // it knows the file by another path
    const alias = overlay(golden, 'golden');
    symlinkSync(pathOf(golden), alias);
    const clone = defineVm({ name: `${name}-clone`, disks: [{ backing: alias }] });
    take(golden, 'e1', '--disk-only');
    writePattern(overlay(golden, 'e1'), 0x37, 1024 * 1024, 65536);
    return { golden, clone };
  };
  const isWhole = (clone: Vm) => hasPattern(pathOf(clone), 0, 1024 * 1024, 65536);
  const [twin, ours] = [cloned('twin'), cloned('web-1')];
  const code = raw('snapshot-delete', twin.golden, 'e1');
  expect(isWhole(twin.clone)).toBe(code !== 0);
  const { words, refusal } = await refusesAll(ours.golden, 'delete', 'web-1', 'e1');
  if (code === 0) expect(refusal.message).toContain('VM web-1-clone (shut off) has an overlay on top of it');
  await refusesAll(ours.golden, 'delete', 'web-1', 'e1', '--dry-run');
  await succeed('prune', 'web-1', '--match', 'e1', '--keep-last', '0', '--allow-empty');
  expect([snapshotNames(ours.golden), isWhole(ours.clone)]).toEqual([['e1'], true]);
  return {
    virsh: code === 0 ? 'destroys the disk of the other VM, exit 0' : `cannot, exit ${code}`,
    kvmsnap: words,
  };
});
