// A create that is interrupted in every way, on VMs held in the middle of the write (hazards 8, 9, 10, 21).
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { spawnKvmsnap } from '../../lab/cli.ts';
import { errorDocument } from '../../lab/failure.ts';
import { sendSignal, waitFor } from '../../lab/lab.ts';
import { onTerminal } from '../../lab/terminal.ts';
import { fullVm, holdSave, isComplete } from '../../scene/saving.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { cleanUp, continueQemu, qemuPid, state, stateAndReason, type Vm } from '../../scene/vm.ts';
import { CARRIES_ON, interrupt, isUnderWay, kvmsnapProcess, SIGNALS, withoutWaiting } from './interrupted.ts';

afterEach(cleanUp);

afterAll(cleanUp);

/** Waits till what libvirtd carried on with is whole. */
const becomesComplete = (vm: Vm, name: string) =>
  waitFor(() => state(vm) === 'running' && isComplete(vm, name), { what: 'a complete snapshot' });

describe('a create of a running VM', () => {
  test.each(SIGNALS)('after one %s is seen through, told, and ends with %i', async (signal, code) => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1', '-q']));
    await interrupt(run, signal);
    expect(await isUnderWay(run)).toBe(true);
    continueQemu(vm);
    const result = await run.done;
    expect(result).toMatchObject({ code, stdout: 's1\n' });
    expect(result.stderr).toMatch(new RegExp(`error: ended by ${signal}\n$`));
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test('after Ctrl-C on a terminal is seen through as well', async () => {
    const vm = await fullVm('web');
    const terminal = await holdSave(vm, () => onTerminal(['create-as', 'web', 's1']));
    terminal.type('\x03');
    await terminal.waitForText(/SIGINT: libvirt cannot cancel/);
    await terminal.waitForText(/MiB written: saving the memory of web/);
    continueQemu(vm);
    const { code, screen } = await terminal.done;
    expect(code).toBe(130);
    expect(stripVTControlCharacters(screen)).toMatch(/web +s1 .* running .* taken.*ended by SIGINT/s);
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test.each(SIGNALS)(
    'after a second %s is left to libvirtd at once, and ends with %i',
    async (signal, code) => {
      const vm = await fullVm('web');
      const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
      await interrupt(run, signal);
      run.kill(signal);
      const result = await withoutWaiting(run);
      expect(result).toMatchObject({ code, stdout: '' });
      expect(result.stderr).toContain(`ended by ${signal}; ${CARRIES_ON} the snapshot s1 of web`);
      expect(stateAndReason(vm)).toBe('paused (saving)');
      continueQemu(vm);
      await becomesComplete(vm, 's1');
    },
  );

  test('on a terminal that is closed is seen through', async () => {
    const vm = await fullVm('web');
    const terminal = await holdSave(vm, () => onTerminal(['create-as', 'web', 's1']));
    await terminal.waitForText(/1 s, [\d.]+ MiB written/);
    terminal.close();
    await sleep(700); // the hang-up, and progress that nobody can read any more
    expect(kvmsnapProcess('create-as')).toBeDefined();
    continueQemu(vm);
    await waitFor(() => kvmsnapProcess('create-as') === undefined, { what: 'the end of kvmsnap' });
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test('after two Ctrl-C on a terminal is left to libvirtd', async () => {
    const vm = await fullVm('web');
    const terminal = await holdSave(vm, () => onTerminal(['create-as', 'web', 's1']));
    terminal.type('\x03');
    await terminal.waitForText(/SIGINT: libvirt cannot cancel/);
    terminal.type('\x03');
    const { code, screen } = await terminal.done;
    expect({ code, told: screen.includes(CARRIES_ON) }).toEqual({ code: 130, told: true });
    continueQemu(vm);
    await becomesComplete(vm, 's1');
  });

  test('beyond --timeout is left to libvirtd, exit 124', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () =>
      spawnKvmsnap(['create-as', 'web', 's1', '--timeout', '8s', '--json']),
    );
    const result = await withoutWaiting(run);
    expect(result).toMatchObject({ code: 124, stdout: '' });
    expect(errorDocument(result).message).toBe(`timed out after 8 s; ${CARRIES_ON} the snapshot s1 of web`);
    continueQemu(vm);
    await becomesComplete(vm, 's1');
  });

  test('that fails after a signal is told as failed, and ends with the signal', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
    await interrupt(run, 'SIGTERM');
    sendSignal(qemuPid(vm), 'SIGKILL');
    const result = await run.done;
    expect(result).toMatchObject({ code: 143, stdout: '' });
    expect(result.stderr).toMatch(/error: ended by SIGTERM; snapshot s1 of web was not taken/);
    expect(result.stderr).toMatch(/the VM was running and is now shut off/);
    expect(snapshotNames(vm)).toEqual([]);
  });
});
