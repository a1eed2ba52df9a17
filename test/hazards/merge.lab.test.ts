// Merges that are interrupted, and reverts to what they have left.
import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { afterAll, afterEach, expect } from 'vitest';
import { killLibvirtd, libvirtdPid, startLibvirtd } from '../lab/daemon.ts';
import { paste, pasteOk } from '../lab/evidence.ts';
import { sendSignal, tryVirsh, waitFor } from '../lab/lab.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { take } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  pathOf,
  qemuPid,
  start,
  state,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';
import { EARLY, inUse, LATE, MiB, overlay } from './merge.ts';
import { errorsOf } from './promise/findings.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);

afterAll(cleanUp);

const BOTH = [0, 8 * MiB] as const;

const ONLY_LATE = [8 * MiB, 96 * MiB] as const;

const fileOf = (vm: Vm, name: string) => (name === 'base' ? pathOf(vm) : overlay(vm, name));

/** External snapshots e1 to e3 of a VM that is off; `deleted` holds EARLY, and its overlay LATE. */
function layered(name: string, deleted: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '128M' }] });
  for (const each of ['e1', 'e2', 'e3']) {
    if (each === deleted) writePattern(inUse(vm), EARLY, ...BOTH);
    take(vm, each, '--disk-only');
    if (each !== deleted) continue;
    for (const range of [BOTH, ONLY_LATE]) writePattern(inUse(vm), LATE, ...range);
  }
  return vm;
}

/** What the disk must hold, whatever became of the snapshots. */
const holdsNow = (vm: Vm): boolean =>
  hasPattern(inUse(vm), LATE, ...BOTH) && hasPattern(inUse(vm), LATE, ...ONLY_LATE);

/** Starts a raw deletion, and waits until half of the overlay is written into that file; null where it ended before. */
async function halfDelete(vm: Vm, deleted: string, into: string): Promise<ChildProcess | null> {
  const size = () => statSync(into).blocks * 512;
  const before = size();
  const child = spawn('virsh', ['snapshot-delete', vm.uuid, deleted], { stdio: 'ignore' });
  const ended = new Promise<true>((resolve) => child.on('close', () => resolve(true)));
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  await waitFor(() => isOver || size() > before + MiB, { what: 'a merge', intervalMs: 0 });
  return isOver ? null : child;
}

/** Kills QEMU in the middle of a merge; the VM runs. False where this libvirt merges nothing. */
async function killQemuIn(vm: Vm, deleted: string, into: string): Promise<boolean> {
  const pid = qemuPid(vm);
  const child = await halfDelete(vm, deleted, into);
  if (!child) return false;
  sendSignal(pid, 'SIGKILL');
  await waitFor(() => state(vm) === 'shut off' && child.exitCode !== null, { what: 'the end of QEMU' });
  return true;
}

hazard(40, 'revert to an external snapshot during whose merge QEMU died', async () => {
  const [twin, vm] = [layered('twin', 'e2'), layered('web-1', 'e2')];
  for (const one of [twin, vm]) start(one);
  if (!(await killQemuIn(twin, 'e2', fileOf(twin, 'e1')))) {
    const { words } = await refusesAll(vm, 'delete', 'web-1', 'e2');
    return { virsh: 'merges nothing, exit 1', kvmsnap: words };
  }
  expect(await killQemuIn(vm, 'e2', fileOf(vm, 'e1'))).toBe(true);
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e2').code;
  if (code === 0) expect(hasPattern(inUse(twin), EARLY, ...BOTH)).toBe(false);

  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e2', '--force');
  expect(refusal.message).toContain('a deletion of e2 was interrupted');
  await refusesAll(vm, 'delete', 'web-1', 'e1');
  const [finding] = (await errorsOf(vm)).filter(({ rule }) => rule === 'merge-interrupted');
  expect(finding?.snapshot).toBe('e2');
  for (const line of finding?.commands ?? []) pasteOk(line);
  expect([snapshotNames(vm), await errorsOf(vm)]).toEqual([['e1', 'e3'], expect.any(Array)]);
  expect((await errorsOf(vm)).some(({ rule }) => rule === 'merge-interrupted')).toBe(false);
  expect(holdsNow(vm)).toBe(true);
  return {
    virsh:
      code === 0
        ? 'a mixture of two states, exit 0'
        : `cannot revert, exit ${code}; the deletion stays incomplete`,
    kvmsnap: `${words}; the command from check finishes the deletion`,
  };
});

hazard(
  40,
  'revert to the oldest external snapshot, during whose merge QEMU died (libvirt does not mark it)',
  async () => {
    const [twin, vm] = [layered('twin', 'e1'), layered('web-1', 'e1')];
    for (const one of [twin, vm]) start(one);
    if (!(await killQemuIn(twin, 'e1', fileOf(twin, 'base')))) {
      const { words } = await refusesAll(vm, 'delete', 'web-1', 'e1');
      return { virsh: 'merges nothing, exit 1', kvmsnap: words };
    }
    // libvirt's records tell whole seconds only
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await killQemuIn(vm, 'e1', fileOf(vm, 'base'))).toBe(true);
    const code = tryVirsh('snapshot-revert', twin.uuid, 'e1').code;
    if (code === 0) expect(hasPattern(inUse(twin), EARLY, ...BOTH)).toBe(false);

    const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1');
    const [finding] = (await errorsOf(vm)).filter(({ rule }) => rule === 'state-written');
    expect(finding?.snapshot).toBe('e1');
    for (const line of finding?.commands ?? []) pasteOk(line);
    expect([snapshotNames(vm), holdsNow(vm)]).toEqual([['e2', 'e3'], true]);
    return {
      virsh:
        code === 0
          ? 'a mixture of two states, exit 0'
          : `cannot revert, exit ${code}; the deletion stays incomplete`,
      kvmsnap: `${words}; the command from check finishes the deletion`,
    };
  },
);

hazard(40, 'libvirtd dies while an external snapshot is merged, VM off', async () => {
  const [twin, vm] = [layered('twin', 'e3'), layered('web-1', 'e3')];
  const interrupt = async (one: Vm): Promise<boolean> => {
    const child = await halfDelete(one, 'e3', fileOf(one, 'e2'));
    if (!child) return false;
    stopQemu(one);
    await killLibvirtd();
    continueQemu(one);
    await startLibvirtd();
    const progress = () => Object.values(tryVirsh('blockjob', one.uuid, 'vda', '--info')).join(' ');
    await waitFor(() => /\[ ?(99|100)/.test(progress()), { what: 'the end of the merge' });
    return true;
  };
  if (!(await interrupt(twin))) {
    const { words } = await refusesAll(vm, 'delete', 'web-1', 'e3');
    return { virsh: 'merges nothing, exit 1', kvmsnap: words };
  }
  expect(await interrupt(vm)).toBe(true);
  const again = tryVirsh('snapshot-delete', twin.uuid, 'e3').code;

  // what older libvirt makes by itself, modes of files among it, is no matter here
  const found = async () =>
    (await errorsOf(vm)).filter(({ rule }) => !['external-on-old-daemon', 'readable-file'].includes(rule));
  const findings = await found();
  expect(findings.map(({ rule }) => rule)).toEqual(['block-job', 'merge-interrupted']);
  let lines = findings.flatMap(({ commands }) => commands);
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const { code, stderr } = paste(line);
    // seldom, a loaded libvirtd crashes when it aborts a job from before its restart; systemd starts it again, and check knows more
    if (code !== 0 && libvirtdPid() === undefined) {
      await startLibvirtd();
      lines = (await found()).flatMap(({ commands }) => commands);
    } else expect({ line, code, stderr }).toMatchObject({ code: 0 });
  }
  expect(snapshotNames(vm)).toEqual(['e1', 'e2']);
  destroy(vm);
  expect(holdsNow(vm)).toBe(true);
  return {
    virsh: `the VM is left paused, and no deletion works, exit ${again}`,
    kvmsnap: 'check names what is left; its commands finish the deletion',
  };
});
