// Several runs on one VM at once, and the progress that a run shows meanwhile.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../../lab/cli.ts';
import { errorDocument } from '../../lab/failure.ts';
import { tryVirsh, waitFor } from '../../lab/lab.ts';
import { onTerminal } from '../../lab/terminal.ts';
import { MiB } from '../../model.ts';
import { fullVm, holdSave, isComplete, occupied } from '../../scene/saving.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { cleanUp, continueQemu, defineVm, start, state, stopQemu } from '../../scene/vm.ts';
import { rawCreate, tagNames } from './interrupted.ts';

afterEach(cleanUp);

afterAll(cleanUp);

describe('several at once', () => {
  test('two names on one running VM: both are taken', async () => {
    const vm = await fullVm('web');
    const runs = await Promise.all(['s1', 's2'].map((name) => kvmsnap(['create-as', 'web', name])));
    expect(runs.map(({ code }) => code)).toEqual([0, 0]);
    expect(snapshotNames(vm)).toEqual(['s1', 's2']);
    expect(tagNames(vm).sort()).toEqual(['s1', 's2']);
    expect(state(vm)).toBe('running');
  });

  test('one name on one running VM: one is taken, the other exits 6', async () => {
    const vm = await fullVm('web');
    const runs = await Promise.all([1, 2].map(() => kvmsnap(['create-as', 'web', 's1'])));
    expect(runs.map(({ code }) => code).sort()).toEqual([0, 6]);
    expect(snapshotNames(vm)).toEqual(['s1']);
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test("a VM that raw virsh holds is busy after libvirt's 30 s, and nothing is half made", async () => {
    const one = await fullVm('one');
    const two = defineVm({ name: 'two', boot: 'counter', disks: [{}, {}] });
    start(two);
    await holdSave(one, () => rawCreate(one));
    stopQemu(two);
    rawCreate(two);
    await waitFor(() => snapshotNames(two).length > 0, { what: 'the job' });
    const runs = await Promise.all(
      ['one', 'two'].map((name) => kvmsnap(['create-as', name, 's1', '--json'])),
    );
    for (const run of runs) {
      expect(run).toMatchObject({ code: 7, stdout: '' });
      expect(errorDocument(run)).toMatchObject({
        code: 'busy',
        hint: expect.stringContaining('another job'),
      });
    }
    for (const vm of [one, two]) {
      continueQemu(vm);
      await waitFor(() => state(vm) === 'running' && tagNames(vm).length > 0, { what: 'its end' });
      expect([snapshotNames(vm), tagNames(vm)]).toEqual([['raw'], ['raw']]);
    }
  });
});

describe('progress', () => {
  test('on a terminal: one line with the time and growing bytes, cleared at the end', async () => {
    const vm = await fullVm('web');
    const terminal = await holdSave(vm, () => onTerminal(['create-as', 'web', 's1']));
    await terminal.waitForText(/1 s, [\d.]+ MiB written: saving the memory of web/);
    const before = terminal.screen().length;
    continueQemu(vm);
    await waitFor(() => occupied(vm) > 90 * MiB, { what: 'more bytes', intervalMs: 1 });
    stopQemu(vm);
    const written = (text: string) => Number(/([\d.]+) MiB written(?!.*MiB written)/s.exec(text)?.[1]);
    await waitFor(() => written(terminal.screen()) > written(terminal.screen().slice(0, before)), {
      what: 'more bytes on the screen',
    });
    continueQemu(vm);
    const { code, screen } = await terminal.done;
    expect(code).toBe(0);
    // every line of progress is wiped before the next thing is shown
    for (const after of screen.split(/MiB written: saving the memory of web/).slice(1))
      expect(after.startsWith('\r\x1b[K')).toBe(true);
    expect(screen.slice(screen.lastIndexOf('\x1b[K'))).toContain('SNAPSHOT');
  });

  test.each([40, 70])('never wraps: a long wide name on %i columns', async (columns) => {
    // a session's libvirtd puts the first 20 characters into the path of a socket, which may have 107 bytes
    const name = `machine-${'测试-虚拟机-'.repeat(5)}`;
    const vm = await fullVm(name);
    const terminal = await holdSave(vm, () => onTerminal(['create-as', name, 's1'], { columns }));
    await terminal.waitForText(/1 s, [\d.]+ MiB written/);
    continueQemu(vm);
    const { screen } = await terminal.done;
    const shown = screen.split('\r\x1b[K').filter((line) => line.includes(' written'));
    expect(shown.length).toBeGreaterThan(1);
    for (const line of shown) {
      const width = [...line].reduce((sum, char) => sum + (char < '\u1100' ? 1 : 2), 0);
      expect(width).toBeLessThan(columns);
    }
  });

  test('in a pipe: nothing', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
    await sleep(700);
    continueQemu(vm);
    expect(await run.done).toMatchObject({ code: 0, stderr: '' });
    expect(tryVirsh('snapshot-info', '--domain', vm.uuid, 's1').code).toBe(0);
  });
});
