// Reads, deletes and reverts that are interrupted.
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, type RunningCli, spawnKvmsnap } from '../../lab/cli.ts';
import { signalLibvirtd } from '../../lab/daemon.ts';
import { errorDocument } from '../../lab/failure.ts';
import { sendSignal, virsh, waitFor } from '../../lab/lab.ts';
import { onTerminal } from '../../lab/terminal.ts';
import {
  fullVm,
  holdSave,
  isComplete,
  slowVirsh,
  virshProcesses,
  virshUnderWay,
} from '../../scene/saving.ts';
import { currentSnapshot, snapshotNames } from '../../scene/snapshot.ts';
import { cleanUp, continueQemu, defineVm, qemuPid, start, stopQemu, type Vm } from '../../scene/vm.ts';
import { CARRIES_ON, interrupt, kvmsnapProcess, SIGNALS, tagNames, withoutWaiting } from './interrupted.ts';

afterEach(cleanUp);

afterAll(cleanUp);

describe('a read', () => {
  test.each(SIGNALS)('ends at once on %s with %i and leaves no process', async (signal, code) => {
    signalLibvirtd('SIGSTOP');
    const run = spawnKvmsnap(['list', '--json']);
    await virshUnderWay('list');
    run.kill(signal);
    const result = await withoutWaiting(run);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(errorDocument(result).exitCode).toBe(code);
    expect(virshProcesses()).toEqual([]);
  });

  test.each([['list'], ['create', 'web'], ['delete', 'web', 's1'], ['info', 'web']])(
    '%s gives up on a hung libvirtd after --timeout',
    async (...args) => {
      signalLibvirtd('SIGSTOP');
      const result = await withoutWaiting(spawnKvmsnap([...args, '--timeout', '1s']));
      expect(result).toEqual({ code: 124, signal: null, stdout: '', stderr: 'error: timed out after 1 s\n' });
      expect(virshProcesses()).toEqual([]);
    },
  );

  test('gives up on a hung libvirtd by itself, after 45 s', async () => {
    signalLibvirtd('SIGSTOP');
    const from = performance.now();
    const result = await kvmsnap(['list']);
    const seconds = (performance.now() - from) / 1000;
    expect(result).toMatchObject({ code: 124, stdout: '' });
    expect(result.stderr).toMatch(/virsh did not answer within 45 s\nhint: libvirtd hangs/);
    expect(Math.round(seconds)).toBeGreaterThanOrEqual(45);
    expect(virshProcesses()).toEqual([]);
  });
});

describe('a delete of three', () => {
  /** QEMU stands still while it is to delete the first one. */
  async function begin(env = {}): Promise<{ vm: Vm; run: RunningCli }> {
    const vm = defineVm({ name: 'web', boot: 'counter' });
    start(vm);
    for (const name of ['a', 'b', 'c']) virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name);
    stopQemu(vm);
    const run = spawnKvmsnap(['delete', 'web', 'a', 'b', 'c'], { env });
    await virshUnderWay('snapshot-delete');
    return { vm, run };
  }

  test('ends after the first on SIGINT, and says so', async () => {
    const { vm, run } = await begin();
    await interrupt(run, 'SIGINT');
    continueQemu(vm);
    const result = await run.done;
    expect(result.code).toBe(130);
    expect(result.stdout).toMatch(/^VM +NAME +RESULT\nweb +a +deleted\n$/);
    expect(result.stderr).toContain('not deleted: b, c');
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([
      ['b', 'c'],
      ['b', 'c'],
    ]);
  });

  test('a second SIGINT leaves the first to libvirtd and the others alone', async () => {
    const { vm, run } = await begin();
    await interrupt(run, 'SIGINT');
    run.kill('SIGINT');
    const result = await withoutWaiting(run);
    expect(result).toMatchObject({ code: 130, stdout: '' });
    expect(result.stderr).toContain(`${CARRIES_ON} the deletion of a of web`);
    continueQemu(vm);
    // libvirt forgets it when it is gone from the image
    await waitFor(() => !snapshotNames(vm).includes('a'), { what: 'the deletion' });
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([
      ['b', 'c'],
      ['b', 'c'],
    ]);
  });

  test('a second SIGINT at the second one: the first is told as deleted', async () => {
    const slow = slowVirsh('snapshot-delete', '--snapshotname b');
    const { vm, run } = await begin(slow.env);
    continueQemu(vm);
    await slow.waits();
    await interrupt(run, 'SIGINT');
    run.kill('SIGINT');
    const result = await withoutWaiting(run);
    expect(result.code).toBe(130);
    expect(result.stdout).toMatch(
      /^VM +NAME +RESULT\nweb +a +deleted\nweb +b +failed: ended by SIGINT; kvmsnap stopped waiting, .*continues with/,
    );
    expect(result.stderr).toMatch(/not deleted: c\nerror: .*libvirtd continues with the deletion of b/);
    expect(snapshotNames(vm)).toEqual(['b', 'c']);
    slow.goOn();
    await waitFor(() => !snapshotNames(vm).includes('b'), { what: 'the deletion' });
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([['c'], ['c']]);
  });
});

describe('a revert', () => {
  test('with --backup, interrupted during the backup: that is complete, and nothing is reverted', async () => {
    const vm = await fullVm('web');
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
    const pid = qemuPid(vm);
    const run = await holdSave(vm, () => spawnKvmsnap(['revert', 'web', 's1', '--backup-name', 'kept']));
    await interrupt(run, 'SIGTERM');
    continueQemu(vm);
    const result = await run.done;
    expect(result).toMatchObject({ code: 143, stdout: '' });
    expect(result.stderr).toContain('ended by SIGTERM: backup kept is complete, and nothing was reverted');
    expect(isComplete(vm, 'kept')).toBe(true);
    expect(qemuPid(vm)).toBe(pid); // a revert of this libvirt starts QEMU anew
  });

  test.each([
    { by: 'Ctrl-C', code: 130, end: (terminal: ReturnType<typeof onTerminal>) => terminal.type('\x03') },
    { by: 'SIGTERM', code: 143, end: () => sendSignal(kvmsnapProcess('revert'), 'SIGTERM') },
    { by: '--timeout', code: 124, end: () => {}, args: ['--timeout', '10s'] },
  ])('ends at its question on $by with $code, and nothing is changed', async ({ code, end, args = [] }) => {
    const vm = defineVm({ name: 'web' });
    for (const name of ['s1', 's2']) virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name);
    const terminal = onTerminal(['revert', 'web', 's1', ...args]);
    await terminal.waitForText(/\[y\/N\]/);
    end(terminal);
    expect((await terminal.done).code).toBe(code);
    expect(currentSnapshot(vm)).toBe('s2');
  });
});
