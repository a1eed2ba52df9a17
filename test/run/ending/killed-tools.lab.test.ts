// A virsh that is killed and a libvirtd that dies, while kvmsnap waits for them.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type CliResult, kvmsnap, spawnKvmsnap } from '../../lab/cli.ts';
import {
  killLibvirtd,
  libvirtdIsIdle,
  libvirtdPid,
  signalLibvirtd,
  startLibvirtd,
} from '../../lab/daemon.ts';
import { followHint } from '../../lab/failure.ts';
import { sendSignal, virsh, waitFor } from '../../lab/lab.ts';
import { MiB } from '../../model.ts';
import { checkImage } from '../../scene/disk.ts';
import { fullVm, holdSave, isComplete, occupied, slowVirsh, virshUnderWay } from '../../scene/saving.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  pathOf,
  qemuPid,
  start,
  state,
  stopQemu,
  type Vm,
} from '../../scene/vm.ts';
import { isUnderWay, rawCreate, tagNames } from './interrupted.ts';

afterEach(cleanUp);

afterAll(cleanUp);

describe('a virsh that is killed', () => {
  const TAKEN = { code: 0, stdout: 's1\n' };

  test('in the middle of the save: its true end is waited for', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1', '-q']));
    sendSignal(await virshUnderWay('snapshot-create-as'), 'SIGKILL');
    expect(await isUnderWay(run)).toBe(true);
    continueQemu(vm);
    const result = await run.done;
    expect(result).toMatchObject(TAKEN);
    expect(result.stderr).toContain('virsh did not report the result (virsh was killed)');
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test('before the guest is even paused', async () => {
    const vm = await fullVm('web');
    const run = spawnKvmsnap(['create-as', 'web', 's1', '-q']);
    const client = await virshUnderWay('snapshot-create-as');
    stopQemu(vm);
    await waitFor(() => snapshotNames(vm).length > 0, { what: 'the job in libvirtd' });
    sendSignal(client, 'SIGKILL');
    expect(await isUnderWay(run)).toBe(true);
    continueQemu(vm);
    expect(await run.done).toMatchObject(TAKEN);
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test('while its job waits behind another', async () => {
    const vm = await fullVm('web');
    const slow = slowVirsh('snapshot-create-as');
    const run = spawnKvmsnap(['create-as', 'web', 's1', '-q'], { env: slow.env });
    await slow.waits();
    await holdSave(vm, () => rawCreate(vm));
    slow.goOn();
    const client = await virshUnderWay('--name s1');
    await libvirtdIsIdle(client); // its job is in libvirtd, and nothing else shows it
    sendSignal(client, 'SIGKILL');
    expect(await isUnderWay(run)).toBe(true);
    continueQemu(vm);
    expect(await run.done).toMatchObject(TAKEN);
    expect(snapshotNames(vm)).toEqual(['raw', 's1']);
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test('with a snapshot of a VM that is off', async () => {
    const vm = defineVm({ name: 'off' });
    const run = spawnKvmsnap(['create-as', 'off', 's1', '-q']);
    sendSignal(await virshUnderWay('snapshot-create-as'), 'SIGKILL');
    const { code } = await run.done;
    const taken = snapshotNames(vm).includes('s1');
    expect({ code, tags: tagNames(vm) }).toEqual({ code: taken ? 0 : 1, tags: taken ? ['s1'] : [] });
  });
});

describe('a libvirtd that dies', () => {
  /** Kills libvirtd in the middle of a save; `meanwhile` happens before it starts again. */
  async function createThrough(vm: Vm, meanwhile: () => unknown): Promise<CliResult> {
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
    await killLibvirtd();
    await meanwhile();
    await startLibvirtd();
    return run.done;
  }

  const saveEnds = async (vm: Vm) => {
    continueQemu(vm);
    await waitFor(() => tagNames(vm).length > 0, { what: 'the tag' });
  };
  const guestDies = (vm: Vm) => sendSignal(qemuPid(vm), 'SIGKILL');

  test.each([
    {
      what: 'and QEMU ends the save meanwhile',
      meanwhile: saveEnds,
      left: /paused \(saving\)/,
      orphan: true,
    },
    { what: 'and the guest with it', meanwhile: guestDies, left: /now shut off/, orphan: false },
  ])('$what: no false done, and the hint fixes it', async ({ meanwhile, left, orphan }) => {
    const vm = await fullVm('web');
    const result = await createThrough(vm, () => meanwhile(vm));
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toContain('error: snapshot s1 of web was not taken');
    expect(result.stderr).toMatch(left);
    expect(result.stderr.includes('left with a snapshot s1 that is not registered in libvirt')).toBe(orphan);
    expect(tagNames(vm)).toEqual(orphan ? ['s1'] : []);
    expect(snapshotNames(vm)).toEqual([]);

    // the tag and the resume; or the two that give the space back, and the start
    expect(followHint(vm, result.stderr)).toHaveLength(orphan ? 2 : 3);
    expect(tagNames(vm)).toEqual([]);
    if (state(vm) === 'shut off') start(vm);
    expect(state(vm)).toBe('running');
    expect(occupied(vm)).toBeLessThan(8 * MiB);
    expect(await kvmsnap(['create-as', 'web', 's1', '-q'])).toMatchObject({ code: 0, stdout: 's1\n' });
    virsh('destroy', '--domain', vm.uuid);
    expect(checkImage(pathOf(vm))).toMatchObject({ corruptions: 0 });
  });

  test('and finds QEMU still saving when it comes back', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
    await killLibvirtd();
    await startLibvirtd();
    continueQemu(vm);
    const result = await run.done;
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toContain('the VM was running and is now');
    // what libvirt has done by then differs; what is left must not, once the hint was followed
    followHint(vm, result.stderr);
    if (state(vm) === 'shut off') start(vm);
    expect(await kvmsnap(['create-as', 'web', 's1', '-q'])).toMatchObject({ code: 0 });
    expect(tagNames(vm)).toEqual(['s1']);
  });

  test('by SIGTERM: the true end is told once it is back', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
    signalLibvirtd('SIGTERM');
    await sleep(200);
    continueQemu(vm);
    await waitFor(() => libvirtdPid() === undefined, { what: 'the end of libvirtd' });
    await startLibvirtd();
    const { code } = await run.done;
    expect({ code, complete: isComplete(vm, 's1') }).toEqual({ code: 0, complete: true });
  });
});
