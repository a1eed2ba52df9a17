// Interruptions of every kind, on VMs held in the middle of a write (hazards 8, 9, 10, 21).
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type CliResult, kvmsnap, kvmsnapWords, type RunningCli, spawnKvmsnap } from '../lab/cli.ts';
import { killLibvirtd, libvirtdPid, processes, signalLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { errorDocument, followHint } from '../lab/failure.ts';
import { tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { MiB } from '../model.ts';
import { checkImage, tags } from '../scene/disk.ts';
import {
  fullVm,
  holdSave,
  isComplete,
  occupied,
  slowVirsh,
  virshProcesses,
  virshUnderWay,
} from '../scene/saving.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  pathOf,
  qemuPid,
  start,
  state,
  stateAndReason,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';

/** The signals that end a run, and the exit codes of a shell for them. */
const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const;

const CANNOT_CANCEL = 'libvirt cannot cancel this. Waiting for it to finish';
const CARRIES_ON = 'kvmsnap stopped waiting, but libvirtd continues with';

afterEach(cleanUp);
afterAll(cleanUp);

const tagNames = (vm: Vm): string[] => tags(pathOf(vm)).map(({ name }) => name);

/** Another administrator, with virsh. */
const rawCreate = (vm: Vm) => spawn('virsh', ['snapshot-create-as', vm.uuid, 'raw']);

/** Waits till what libvirtd carried on with is whole. */
const becomesComplete = (vm: Vm, name: string) =>
  waitFor(() => state(vm) === 'running' && isComplete(vm, name), { what: 'a complete snapshot' });

/** Sends a signal and waits till kvmsnap has said why it does not end. */
async function interrupt(run: RunningCli, signal: NodeJS.Signals): Promise<void> {
  run.kill(signal);
  await waitFor(() => run.stderr.includes(`${signal}: ${CANNOT_CANCEL}`), { what: 'a word on the signal' });
}

/** Whether it goes on for a while. */
const isUnderWay = (run: RunningCli): Promise<boolean> =>
  Promise.race([run.done.then(() => false), sleep(300).then(() => true)]);

/** The kvmsnap of a terminal, below the terminal's own processes. */
const kvmsnapProcess = (command: string): number | undefined =>
  processes().find(({ args }) => args[0] === kvmsnapWords[0] && args.includes(command))?.pid;

async function within(milliseconds: number, run: RunningCli): Promise<CliResult> {
  const from = performance.now();
  const result = await run.done;
  expect(performance.now() - from).toBeLessThan(milliseconds);
  return result;
}

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
      const result = await within(3000, run);
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
      spawnKvmsnap(['create-as', 'web', 's1', '--timeout', '2s', '--json']),
    );
    const result = await within(3000, run);
    expect(result).toMatchObject({ code: 124, stdout: '' });
    expect(errorDocument(result).message).toBe(`timed out after 2 s; ${CARRIES_ON} the snapshot s1 of web`);
    continueQemu(vm);
    await becomesComplete(vm, 's1');
  });

  test('that fails after a signal is told as failed, and ends with the signal', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1']));
    await interrupt(run, 'SIGTERM');
    process.kill(qemuPid(vm), 'SIGKILL');
    const result = await run.done;
    expect(result).toMatchObject({ code: 143, stdout: '' });
    expect(result.stderr).toMatch(/error: ended by SIGTERM; snapshot s1 of web was not taken/);
    expect(result.stderr).toMatch(/the VM was running and is now shut off/);
    expect(snapshotNames(vm)).toEqual([]);
  });
});

describe('a virsh that is killed', () => {
  const TAKEN = { code: 0, stdout: 's1\n' };

  test('in the middle of the save: its true end is waited for', async () => {
    const vm = await fullVm('web');
    const run = await holdSave(vm, () => spawnKvmsnap(['create-as', 'web', 's1', '-q']));
    process.kill(await virshUnderWay('snapshot-create-as'), 'SIGKILL');
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
    process.kill(client, 'SIGKILL');
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
    await sleep(200); // its job is in libvirtd, and nothing shows it
    process.kill(client, 'SIGKILL');
    expect(await isUnderWay(run)).toBe(true);
    continueQemu(vm);
    expect(await run.done).toMatchObject(TAKEN);
    expect(snapshotNames(vm)).toEqual(['raw', 's1']);
    expect(isComplete(vm, 's1')).toBe(true);
  });

  test('with a snapshot of a VM that is off', async () => {
    const vm = defineVm({ name: 'off' });
    const run = spawnKvmsnap(['create-as', 'off', 's1', '-q']);
    process.kill(await virshUnderWay('snapshot-create-as'), 'SIGKILL');
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
  const guestDies = (vm: Vm) => process.kill(qemuPid(vm), 'SIGKILL');

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

describe('a read', () => {
  test.each(SIGNALS)('ends at once on %s with %i and leaves no process', async (signal, code) => {
    signalLibvirtd('SIGSTOP');
    const run = spawnKvmsnap(['list', '--json']);
    await virshUnderWay('list');
    run.kill(signal);
    const result = await within(3000, run);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(errorDocument(result).exitCode).toBe(code);
    expect(virshProcesses()).toEqual([]);
  });

  test.each([['list'], ['create', 'web'], ['delete', 'web', 's1'], ['info', 'web']])(
    '%s gives up on a hung libvirtd after --timeout',
    async (...args) => {
      signalLibvirtd('SIGSTOP');
      const result = await within(4000, spawnKvmsnap([...args, '--timeout', '1s']));
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
    expect(seconds).toBeLessThan(50);
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
    const result = await within(3000, run);
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
    const result = await within(3000, run);
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
    { by: 'SIGTERM', code: 143, end: () => process.kill(kvmsnapProcess('revert') ?? Number.NaN, 'SIGTERM') },
    { by: '--timeout', code: 124, end: () => {}, args: ['--timeout', '3s'] },
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
    const from = performance.now();
    const runs = await Promise.all(
      ['one', 'two'].map((name) => kvmsnap(['create-as', name, 's1', '--json'])),
    );
    expect(performance.now() - from).toBeLessThan(40_000);
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
    await sleep(600);
    continueQemu(vm);
    const { code, screen } = await terminal.done;
    expect(code).toBe(0);
    const written = (text: string) => Number(/([\d.]+) MiB written(?!.*MiB written)/s.exec(text)?.[1]);
    expect(written(screen)).toBeGreaterThan(written(screen.slice(0, before)));
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
