// Deep chains of overlays: how many libvirt takes, and how many it starts.
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { pasteOk } from '../lab/evidence.ts';
import { fail, take } from '../lab/scene.ts';
import { hasPattern, writePattern } from '../lab/disk.ts';
import { scratch, tool, tryVirsh } from '../lab/lab.ts';
import { cleanUp, defineMachine, destroy, type Machine, machineXml, start } from '../lab/machine.ts';
import { snapshotNames } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { errorsOf } from './findings.ts';
import { hazard } from './promise.ts';
import { refusesAll } from './refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const MOST = since({ '7.0': 199, '11.3': 24, '12.8': 199 });
const MiB = 1024 * 1024;

const inUse = (machine: Machine) => /<source file='([^']*)'/.exec(machineXml(machine))?.[1] ?? '';

/** A machine whose disk lies on as many overlays as libvirt starts, made without it. */
function deep(name: string): Machine {
  const image = (n: number) => join(scratch, `${name}.${n}`);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', image(0), '8M']);
  for (let n = 1; n < MOST; n++)
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image(n - 1), '-F', 'qcow2', image(n)]);
  return defineMachine({ name, disks: [{ backing: image(MOST - 1) }] });
}

const starts = (machine: Machine): boolean => tryVirsh('start', machine.uuid).code === 0;

hazard(38, 'one overlay more than libvirt starts, machine off', async () => {
  const machine = deep('web-1');
  expect(starts(machine)).toBe(true);
  destroy(machine);
  const { words } = await refusesAll(machine, 'create-as', 'web-1', 's', '--disk-only', '--force');
  expect(await fail(5, 'create', 'web-1', '--label', 'n', '--keep-last', '400', '--external')).toContain(
    `no VM with more than ${MOST} overlays`,
  );

  take(machine, 's1', '--disk-only');
  writePattern(inUse(machine), 0x38, 0, MiB);
  expect([starts(machine), tryVirsh('snapshot-delete', machine.uuid, 's1').code]).toEqual([false, 1]);
  const [finding] = (await errorsOf(machine)).filter(({ rule }) => rule === 'chain-too-deep');
  // 7.0 deletes no external snapshot, but it forgets one
  pasteOk(finding?.command ?? null);
  expect([snapshotNames(machine), hasPattern(inUse(machine), 0x38, 0, MiB)]).toEqual([[], true]);
  expect(starts(machine)).toBe(true);
  return {
    virsh: 'takes it, exit 0; the machine never starts again, and no deletion works',
    kvmsnap: `${words}; check names a way back that keeps the disk`,
  };
});

hazard(38, 'one overlay more than libvirt starts, machine running', async () => {
  const machine = deep('web-1');
  start(machine);
  const { words } = await refusesAll(machine, 'create-as', 'web-1', 's', '--disk-only', '--force');
  const { code } = tryVirsh('snapshot-create-as', machine.uuid, 's1', '--disk-only');
  if (code !== 0) return { virsh: `refuses, exit ${code}`, kvmsnap: words };
  const [finding] = (await errorsOf(machine)).filter(({ rule }) => rule === 'chain-too-deep');
  const command = finding?.command ?? '';
  expect(command).toBe('kvmsnap delete web-1 s1');
  pasteOk(command);
  destroy(machine);
  expect([snapshotNames(machine), starts(machine)]).toEqual([[], true]);
  destroy(machine);
  take(machine, 's1', '--disk-only');
  expect(starts(machine)).toBe(false);
  return {
    virsh: 'takes it, exit 0; the machine never starts again',
    kvmsnap: `${words}; check names what to delete while it runs`,
  };
});
