// Snapshots outside of the images: what raw virsh overwrites, and what it leaves lying about.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { pasteOk } from '../lab/evidence.ts';
import { succeed, take } from '../lab/scene.ts';
import { libvirtdPid, mendLibvirtd } from '../lab/daemon.ts';
import { hasPattern, tags, writePattern } from '../lab/disk.ts';
import { tryVirsh, virsh } from '../lab/lab.ts';
import {
  cleanUp,
  defineMachine,
  type Machine,
  machineXml,
  pathOf,
  start,
  state,
  stateAndReason,
} from '../lab/machine.ts';
import { snapshotNames, snapshotXml } from '../lab/snapshot.ts';
import { hazard } from './promise.ts';
import { refusesAll } from './refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function running(name: string): Machine {
  const machine = defineMachine({ name, boot: 'counter', disks: [{ size: '4M' }] });
  start(machine);
  return machine;
}

const memoryFile = (machine: Machine) => join(dirname(pathOf(machine)), 's1.mem');
const external = (machine: Machine, name: string) =>
  take(machine, name, '--memspec', memoryFile(machine), '--diskspec', 'vda,snapshot=external');

hazard(14, 'memory to be saved into a file that is there', async () => {
  const [twin, machine] = [running('twin'), running('web-1')];
  const content = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
  for (const one of [twin, machine]) external(one, 's1');
  const before = [twin, machine].map((one) => content(memoryFile(one)));
  external(twin, 's2');
  expect(content(memoryFile(twin))).not.toBe(before[0]);

  const file = memoryFile(machine);
  const { words, refusal } = await refusesAll(
    machine,
    ...['create-as', 'web-1', 's2', '--memspec', file, '--diskspec', 'vda,snapshot=external', '--force'],
  );
  expect(refusal.message).toContain(file);
  expect(content(file)).toBe(before[1]);
  return {
    virsh: 'overwrites the memory of the older snapshot, exit 0',
    kvmsnap: `${words}, with --force too`,
  };
});

/** Files beside the disk that neither the machine nor a snapshot of it knows any more. */
function left(machine: Machine): string[] {
  const xml = [
    machineXml(machine),
    ...snapshotNames(machine).map((name) => snapshotXml(machine, name)),
  ].join();
  const directory = dirname(pathOf(machine));
  return readdirSync(directory)
    .filter((file) => !xml.includes(join(directory, file)) && !/^(boot|machine\.xml)$/.test(file))
    .map((file) => (file.endsWith('.mem') ? "the memory's file" : 'an overlay'));
}

const raw = (command: string, machine: Machine, name: string) =>
  tryVirsh(command, '--domain', machine.uuid, '--snapshotname', name).code;

/** One for virsh and one for kvmsnap, `web-1`. */
function twins(make: (name: string) => Machine): [Machine, Machine] {
  return [make('twin'), make('web-1')];
}

/** A small machine that is off, with disk-only snapshots of these names. */
function layered(name: string, ...snapshots: string[]): Machine {
  const machine = defineMachine({ name, disks: [{ size: '4M' }] });
  for (const snapshot of snapshots) take(machine, snapshot, '--disk-only');
  return machine;
}

const overlay = (machine: Machine, name: string) => pathOf(machine).replace(/qcow2$/, name);

hazard(23, 'delete of an external snapshot with memory', async () => {
  const [twin, machine] = twins(running);
  for (const one of [twin, machine]) external(one, 's1');
  const code = raw('snapshot-delete', twin, 's1');
  if (code !== 0) {
    const { words } = await refusesAll(machine, 'delete', 'web-1', 's1');
    return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  }
  const { stderr } = await succeed('delete', 'web-1', 's1', '--leftovers');
  expect(left(machine)).toEqual([]);
  const told = stderr.includes(memoryFile(machine));
  return {
    virsh: `leaves ${left(twin).join(', ') || 'nothing'}, exit 0`,
    kvmsnap: told ? 'names what is left; --leftovers removes it' : 'leaves nothing',
  };
});

hazard(23, 'revert of a machine with an overlay in use', async () => {
  const [twin, machine] = twins((name) => {
    const made = layered(name, 'e1');
    take(made, 'i2');
    return made;
  });
  const code = raw('snapshot-revert', twin, 'e1');
  if (code !== 0) {
    const { words } = await refusesAll(machine, 'revert', 'web-1', 'e1');
    return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  }
  const inUse = (one: Machine) => /<source file='([^']*)'/.exec(machineXml(one))?.[1] ?? '';
  const abandoned = inUse(twin);
  expect(raw('snapshot-revert', twin, 'i2')).toBe(0);
  expect([inUse(twin) === abandoned, existsSync(abandoned)]).toEqual([false, true]);

  await succeed('revert', 'web-1', 'e1');
  const ours = inUse(machine);
  const { stderr } = await succeed('revert', 'web-1', 'i2', '--force');
  expect(stderr).toContain(ours);
  pasteOk(/this removes it: (rm .*)$/m.exec(stderr)?.[1] ?? null);
  expect(existsSync(ours)).toBe(false);
  return {
    virsh: 'leaves an overlay that nothing uses, exit 0',
    kvmsnap: 'names what is left, and the command that removes it',
  };
});

hazard(32, 'delete of an external snapshot whose overlay holds an internal one', async () => {
  const [twin, machine] = twins((name) => {
    const made = layered(name, 'e1');
    take(made, 'i2');
    return made;
  });
  const code = raw('snapshot-delete', twin, 'e1');
  const { words } = await refusesAll(machine, 'delete', 'web-1', 'e1');
  if (code !== 0) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  expect([snapshotNames(twin), tags(pathOf(twin))]).toEqual([['i2'], []]);
  return { virsh: 'loses the internal one, exit 0', kvmsnap: words };
});

hazard(33, 'delete of a snapshot on whose file the machine lies', async () => {
  const [twin, machine] = twins((name) => {
    const made = layered(name, 'e1', 'e2');
    virsh('snapshot-current', '--domain', made.uuid, '--snapshotname', 'e1');
    return made;
  });
  const code = raw('snapshot-delete', twin, 'e2');
  if (code === 0 && existsSync(overlay(twin, 'e1'))) {
    await succeed('delete', 'web-1', 'e2');
    return { virsh: 'works', kvmsnap: 'works' };
  }
  const { words } = await refusesAll(machine, 'delete', 'web-1', 'e2');
  expect(existsSync(overlay(machine, 'e1'))).toBe(true);
  return {
    virsh: code === 0 ? 'removes the file: the machine is broken, exit 0' : `cannot, exit ${code}`,
    kvmsnap: words,
  };
});

hazard(34, 'delete of an external snapshot beside a branch', async () => {
  const [twin, machine] = twins((name) => layered(name, 'e1', 'e2', 'e3'));
  const cannotRevert = raw('snapshot-revert', twin, 'e2') !== 0;
  if (cannotRevert) return { virsh: 'there are no branches', kvmsnap: 'there are no branches' };
  expect(raw('snapshot-revert', machine, 'e2')).toBe(0);
  const code = raw('snapshot-delete', twin, 'e1');
  const crashed = libvirtdPid() === undefined;
  await mendLibvirtd();
  if (code === 0) {
    await succeed('delete', 'web-1', 'e1');
    return { virsh: 'works', kvmsnap: 'works' };
  }
  const { words } = await refusesAll(machine, 'delete', 'web-1', 'e1');
  return { virsh: crashed ? 'libvirtd crashes, exit 1' : `cannot, exit ${code}`, kvmsnap: words };
});

hazard(35, 'delete of an external snapshot beside a managed save', async () => {
  const [twin, machine] = twins((name) => {
    const made = running(name);
    take(made, 'e1', '--disk-only');
    virsh('managedsave', made.uuid);
    return made;
  });
  const code = raw('snapshot-delete', twin, 'e1');
  const { words } = await refusesAll(machine, 'delete', 'web-1', 'e1');
  start(machine);
  if (code !== 0) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  expect(tryVirsh('start', '--domain', twin.uuid).code).toBe(1);
  return { virsh: 'the saved machine cannot be started any more, exit 0', kvmsnap: words };
});

hazard(36, 'revert to a snapshot whose memory file is missing, machine running', async () => {
  const [twin, machine] = twins((name) => {
    const made = running(name);
    external(made, 's1');
    rmSync(memoryFile(made));
    return made;
  });
  const code = raw('snapshot-revert', twin, 's1');
  const end = stateAndReason(twin);
  const { words } = await refusesAll(machine, 'revert', 'web-1', 's1', '--force');
  expect(state(machine)).toBe('running');
  return {
    virsh: end.startsWith('shut off') ? `loses the guest: ${end}, exit ${code}` : `cannot, exit ${code}`,
    kvmsnap: `${words}, the guest runs on`,
  };
});

hazard(37, 'delete of an external snapshot over a file that another machine lies on', async () => {
  const cloned = (name: string) => {
    const golden = layered(name);
    // it knows the file by another path
    const alias = overlay(golden, 'golden');
    symlinkSync(pathOf(golden), alias);
    const clone = defineMachine({ name: `${name}-clone`, disks: [{ backing: alias }] });
    take(golden, 'e1', '--disk-only');
    writePattern(overlay(golden, 'e1'), 0x37, 1024 * 1024, 65536);
    return { golden, clone };
  };
  const isWhole = (clone: Machine) => hasPattern(pathOf(clone), 0, 1024 * 1024, 65536);
  const [twin, ours] = [cloned('twin'), cloned('web-1')];
  const code = raw('snapshot-delete', twin.golden, 'e1');
  expect(isWhole(twin.clone)).toBe(code !== 0);
  const { words, refusal } = await refusesAll(ours.golden, 'delete', 'web-1', 'e1');
  if (code === 0) expect(refusal.message).toContain("VM 'web-1-clone' (shut off) has an overlay on it");
  await refusesAll(ours.golden, 'delete', 'web-1', 'e1', '--dry-run');
  await succeed('prune', 'web-1', '--match', 'e1', '--keep-last', '0', '--allow-empty');
  expect([snapshotNames(ours.golden), isWhole(ours.clone)]).toEqual([['e1'], true]);
  return {
    virsh: code === 0 ? 'ruins the other machine, exit 0' : `cannot, exit ${code}`,
    kvmsnap: words,
  };
});
