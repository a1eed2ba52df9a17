// Snapshots outside of the images: what raw virsh overwrites, and what it leaves lying about.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { diskPath } from '../commands/evidence.ts';
import { succeed, take } from '../commands/scene.ts';
import { kvmsnap } from '../lab/cli.ts';
import { tryVirsh } from '../lab/lab.ts';
import { cleanUp, defineMachine, type Machine, machineXml, start } from '../lab/machine.ts';
import { snapshotNames } from '../lab/snapshot.ts';
import { hazard } from './promise.ts';
import { refusesAll } from './refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function running(name: string): Machine {
  const machine = defineMachine({ name, boot: 'counter', disks: [{ size: '4M' }] });
  start(machine);
  return machine;
}

const memoryFile = (machine: Machine) => join(dirname(diskPath(machine)), 's1.mem');
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

/** What the snapshots of a machine have left: those that are still there, and files that nobody knows any more. */
function left(machine: Machine): string {
  const xml = machineXml(machine);
  const directory = dirname(diskPath(machine));
  const files = readdirSync(directory)
    .filter((file) => !xml.includes(join(directory, file)) && !/^(boot|machine\.xml)$/.test(file))
    .map((file) => (file.endsWith('.mem') ? "the memory's file" : 'an overlay'));
  return snapshotNames(machine).length > 0 ? 'the snapshot' : files.join(', ') || 'nothing';
}

hazard(23, 'delete of an external snapshot with memory', async () => {
  const [twin, machine] = [running('twin'), running('web-1')];
  for (const one of [twin, machine]) external(one, 's1');
  const raw = tryVirsh('snapshot-delete', '--domain', twin.uuid, '--snapshotname', 's1');
  const { code } = await kvmsnap(['delete', 'web-1', 's1']);
  return {
    virsh: `exit ${raw.code}, leaves ${left(twin)}`,
    kvmsnap: `exit ${code}, leaves ${left(machine)}`,
  };
});

hazard(23, 'delete of all, after a revert to an external snapshot', async () => {
  const [twin, machine] = ['twin', 'web-1'].map((name) => {
    const made = running(name);
    for (const overlay of ['d1', 'd2']) take(made, overlay, '--disk-only');
    take(made, 'inside');
    return made;
  }) as [Machine, Machine];
  const raw = (command: string, name: string) =>
    tryVirsh(command, '--domain', twin.uuid, '--snapshotname', name).code;
  const reverted = raw('snapshot-revert', 'd1');
  if (reverted !== 0) {
    const { words } = await refusesAll(machine, 'revert', 'web-1', 'd1');
    return { virsh: `cannot revert, exit ${reverted}`, kvmsnap: words };
  }
  const deleted = ['inside', 'd2', 'd1'].map((name) => raw('snapshot-delete', name));
  await succeed('revert', 'web-1', 'd1');
  const { code } = await kvmsnap(['delete', 'web-1', 'inside', 'd2', 'd1']);
  return {
    virsh: `exit ${Math.max(...deleted)}, leaves ${left(twin)}`,
    kvmsnap: `exit ${code}, leaves ${left(machine)}`,
  };
});
