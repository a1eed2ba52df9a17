// Signals and the time limit within check --fix: each step that was begun comes to its end, and each is told as it is.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { type RunningCli, spawnKvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { imageInfo } from '../scene/disk.ts';
import { fullVm, type SlowTool, slowTool } from '../scene/saving.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { asked, document, fitting, tagNames, take, twoDisks } from '../scene/steps.ts';
import { cleanUp, destroy, pathOf, type Vm } from '../scene/vm.ts';

// what is kept before a change is no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);
afterAll(cleanUp);

/** Three steps: two halves to delete in the second disk, and a snapshot that libvirt is to know. */
function broken(name: string): Vm {
  const vm = twoDisks(name);
  take(vm, 'a');
  tool('sleep', ['1.1']); // a tag's date has seconds
  for (const half of ['half-1', 'half-2']) tool('qemu-img', ['snapshot', '-c', half, pathOf(vm, 1)]);
  for (const { path } of vm.disks) tool('qemu-img', ['snapshot', '-c', 'complete', path]);
  return vm;
}

const begin = ({ env }: SlowTool, ...args: string[]): RunningCli =>
  spawnKvmsnap(['--json', 'check', '--fix', '--yes', ...args], { env });

/** The first signal, up to the word on why nothing ends yet. */
async function interrupt(run: RunningCli, signal: NodeJS.Signals, by: string): Promise<void> {
  run.kill(signal);
  await waitFor(() => run.stderr.includes(`${signal}: ${by} cannot cancel this`), { what: 'a word on it' });
}

/** What it says of each VM's steps, and its last word. */
async function told(run: RunningCli) {
  const { code, stdout, stderr } = await run.done;
  if (stdout === '') throw new Error(stderr);
  const { domains } = fitting('check', JSON.parse(stdout));
  return {
    code,
    vms: domains.map(({ outcome, fixes }) => [outcome, ...fixes.map((fix) => fix.outcome)]),
    errors: domains.flatMap(({ fixes }) => fixes.flatMap(({ error }) => error ?? [])),
    error: fitting('error', JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).error,
    stderr,
  };
}

/** What is left is fixed by the next run. */
async function fixesTheRest(vm: Vm): Promise<void> {
  await document('check', 'check', vm.name, '--fix', '--yes');
  expect([snapshotNames(vm), tagNames(vm)]).toEqual([
    ['a', 'complete'],
    [
      ['a', 'complete'],
      ['a', 'complete'],
    ],
  ]);
}

test('one signal: the step under way is done, what comes after it is not reached, nor is the next VM', async () => {
  const vms = ['one', 'two'].map(broken);
  const [one, two] = vms as [Vm, Vm];
  const slow = slowTool('qemu-img', 'snapshot', '-d', 'half-1');
  const run = begin(slow, 'one', 'two');
  await slow.waits();
  await interrupt(run, 'SIGINT', 'qemu-img');
  slow.goOn();
  const result = await told(run);
  expect(result).toMatchObject({
    code: 130,
    vms: [
      ['not reached', 'done', 'not reached', 'not reached'],
      ['not reached', 'not reached', 'not reached', 'not reached'],
    ],
    error: { code: 'interrupted', message: expect.stringMatching(/^ended by SIGINT; .* left on 2 of 2 VMs/) },
  });
  expect(vms.map((vm) => tagNames(vm)[1])).toEqual([
    ['a', 'half-2', 'complete'],
    ['a', 'half-1', 'half-2', 'complete'],
  ]);
  for (const vm of [one, two]) await fixesTheRest(vm);
});

test.each([
  { by: 'a second SIGTERM', code: 143, args: [] },
  { by: '--timeout', code: 124, args: ['--timeout', '20s'] },
])('$by leaves the step under way to itself, and tells those before it', async ({ code, args }) => {
  const vm = broken('web');
  const slow = slowTool('virsh', 'snapshot-create');
  const run = begin(slow, 'web', ...args);
  await slow.waits();
  if (code === 143) {
    await interrupt(run, 'SIGTERM', 'libvirt');
    run.kill('SIGTERM');
  }
  const carriesOn =
    /; kvmsnap stopped waiting, but libvirtd continues with 'register the snapshot complete' of web/;
  expect(await told(run)).toMatchObject({
    code,
    vms: [['failed', 'done', 'done', 'failed']],
    errors: [{ message: expect.stringMatching(carriesOn), command: null }],
    error: { exitCode: code, message: expect.stringMatching(carriesOn) },
    stderr: expect.stringContaining('note: web was not checked again'),
  });
  expect(snapshotNames(vm)).toEqual(['a']);
  slow.goOn();
  await waitFor(() => snapshotNames(vm).includes('complete'), { what: 'what it carried on with' });
  await fixesTheRest(vm);
});

test('between the two halves of a step: it names the half that is still to be done', async () => {
  const vm = await fullVm('web');
  take(vm, 's');
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's');
  virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 's');
  destroy(vm);
  const size = () => imageInfo(pathOf(vm))['virtual-size'];
  const before = size();
  const slow = slowTool('qemu-img', 'resize', '+');
  const run = begin(slow, 'web');
  await slow.waits();
  await interrupt(run, 'SIGINT', 'qemu-img');
  run.kill('SIGINT');
  const { errors, ...result } = await told(run);
  expect(result).toMatchObject({
    code: 130,
    vms: [['failed', 'failed']],
    error: { message: expect.stringContaining('stopped waiting, but qemu-img continues with') },
  });
  slow.goOn();
  await waitFor(() => size() > before, { what: 'what it carried on with' });
  expect(errors).toMatchObject([
    {
      hint: expect.stringMatching(
        /^when that has ended, these commands still have to be run: qemu-img resize /,
      ),
    },
  ]);
  pasteOk(errors[0]?.command ?? null);
  expect(size()).toBe(before);
  expect((await document('check', 'check', 'web')).domains[0]?.fixes).toEqual([]);
});

test('Ctrl-C at its question changes nothing, and leaves none of its files', async () => {
  const vm = broken('web');
  const terminal = await asked('check', '--fix');
  terminal.type('\x03');
  expect((await terminal.done).code).toBe(130);
  expect([snapshotNames(vm), tagNames(vm)[1]]).toEqual([['a'], ['a', 'half-1', 'half-2', 'complete']]);
  expect(readdirSync(join(scratch, 'state', 'kvmsnap'))).toEqual([]);
});
