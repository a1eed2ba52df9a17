// `space --exact`: what a running guest's QEMU has not written out yet counts too, and no guest is left paused for it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, virsh, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { chooseSeed, randomFrom } from '../scene/random.ts';
import { slowVirsh, virshProcesses } from '../scene/saving.ts';
import { count, fitting, take } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  pathOf,
  start,
  state,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';

afterAll(cleanUp);

/** With the cache of a virtio disk, which the BIOS sets up, QEMU would write out everything at once. */
function running(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '64M', bus: 'ide' }], boot: 'counter' });
  start(vm);
  return vm;
}

const guest = (vm: Vm, command: string): string =>
  virsh('qemu-monitor-command', '--domain', vm.uuid, '--hmp', `qemu-io -d ide0-0-0 "${command}"`);

/** A snapshot, half of whose 8 MiB the guest has written over since, and QEMU has not written out that it did. */
function behind(name: string): Vm {
  const vm = running(name);
  guest(vm, 'write -P 1 1M 8M');
  take(vm, 's1');
  guest(vm, 'flush');
  guest(vm, 'write -P 2 1M 4M');
  return vm;
}

async function measured(vm: Vm, options: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await kvmsnap(['--json', 'space', vm.name, ...options], { env });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const [snapshot] = fitting('space', JSON.parse(stdout)).domains[0]?.snapshots ?? [];
  if (!snapshot) throw new Error(stdout);
  return { frees: snapshot.freesBytes ?? 0, approximate: snapshot.approximate, stderr };
}

function occupied(vm: Vm): number {
  execFileSync('sync', [pathOf(vm)]);
  return statSync(pathOf(vm)).blocks * 512;
}

/** The PATH to a tool that does something else first, and has these arguments then. */
function wrap(tool: string, first: string, args: string): { PATH: string } {
  const directory = mkdtempSync(join(scratch, 'path-'));
  const path = process.env['PATH'] ?? '';
  const script = `#!/bin/bash\n${first}\nPATH='${path}' exec ${tool} ${args}\n`;
  writeFileSync(join(directory, tool), script, { mode: 0o755 });
  return { PATH: `${directory}:${path}` };
}

async function countsOn(vm: Vm): Promise<void> {
  const before = count(vm);
  await waitFor(() => count(vm) > before, { what: 'the guest goes on' });
}

test('the figure of a running VM is that of the idle one, and what a real delete frees', async () => {
  const vm = behind('exact');
  const plain = await measured(vm, []);
  expect(plain).toMatchObject({ approximate: true, stderr: '' });
  expect(plain.frees).toBeLessThan(MiB);

  const exact = await measured(vm, ['--exact']);
  expect(exact.approximate).toBe(false);
  expect(exact.frees).toBeGreaterThan(4 * MiB);
  expect(exact.stderr).toMatch(/^exact was paused for \d+ ms so that QEMU could write all metadata\n$/);
  expect(state(vm)).toBe('running');
  await countsOn(vm);

  destroy(vm);
  const idle = await measured(vm, ['--exact']);
  expect(idle).toEqual({ frees: exact.frees, approximate: false, stderr: '' });
  const before = occupied(vm);
  virsh('snapshot-delete', '--domain', vm.uuid, 's1');
  expect(Math.abs(before - occupied(vm) - exact.frees)).toBeLessThan(0.25 * MiB);
});

test('what the guest writes just then makes it approximate again', async () => {
  const vm = behind('busy');
  const write = `virsh qemu-monitor-command --domain ${vm.uuid} --hmp 'qemu-io -d ide0-0-0 "write -P 3 16M 64k"'`;
  const env = wrap('qemu-img', `[ "$1" != map ] || ${write} >/dev/null`, '"$@"');
  const { approximate, frees } = await measured(vm, ['--exact'], env);
  expect(approximate).toBe(true);
  expect(frees).toBeGreaterThan(4 * MiB);
});

test('a paused VM stays paused: its images hold all, but for a snapshot that was taken in the pause', async () => {
  const vm = behind('still');
  virsh('suspend', '--domain', vm.uuid);
  const exact = await measured(vm, ['--exact']);
  expect(exact).toMatchObject({ approximate: false, stderr: 'note: still is paused and stays so\n' });
  expect(exact.frees).toBeGreaterThan(4 * MiB);

  take(vm, 's2');
  const later = await measured(vm, ['--exact', 's2']);
  expect(later.approximate).toBe(true);
  expect(later.stderr).toContain('QEMU may not have written all metadata');
  expect(state(vm)).toBe('paused');
  destroy(vm);
  // what it did not know: the memory
  expect((await measured(vm, ['s2'])).frees).toBeGreaterThan(later.frees);
});

test('a resume that fails: exit 1, and the command that fixes it', async () => {
  const vm = behind('stuck');
  const env = wrap('virsh', ':', `"\${@/resume/start}"`);
  const { code, stdout, stderr } = await kvmsnap(['--json', 'space', 'stuck', '--exact'], { env });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  const { message, command } = fitting('error', JSON.parse(stderr)).error;
  expect(message).toContain('is still paused');
  expect(state(vm)).toBe('paused');
  pasteOk(command);
  expect(state(vm)).toBe('running');
  await countsOn(vm);
});

/** Whether a virsh, or the shell that becomes one, is at it. */
const isPausing = (vm: Vm): boolean =>
  processes().some(({ args }) => args.join(' ').includes(`suspend --domain ${vm.uuid}`));

test('killed in the middle of the suspend, or before, the VM runs on when virsh has ended', async () => {
  const vm = running('alone');
  take(vm, 's1');
  for (const isStopped of [true, false]) {
    const virshWaits = slowVirsh('suspend', 'resume');
    const run = spawnKvmsnap(['space', 'alone', '--exact'], { env: virshWaits.env });
    await virshWaits.waits();
    if (isStopped) {
      // so that the suspend takes as long as we like
      stopQemu(vm);
      virshWaits.goOn();
      const control = () => virsh('domcontrol', '--domain', vm.uuid);
      await waitFor(() => !control().startsWith('ok'), { what: 'the suspend' });
    }
    run.kill('SIGKILL');
    await run.done;
    if (isStopped) continueQemu(vm);
    else virshWaits.goOn();
    await waitFor(() => !isPausing(vm), { what: 'the end of virsh' });
    expect({ isStopped, state: state(vm) }).toEqual({ isStopped, state: 'running' });
    await countsOn(vm);
  }
});

const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 4);

test(`${ROUNDS} kills at random moments leave it running`, {
  timeout: 600_000 + ROUNDS * 10_000,
}, async () => {
  const seed = chooseSeed();
  process.stdout.write(`KVMSNAP_SEED=${seed}\n`);
  const random = randomFrom(seed);
  const vm = running('killed');
  take(vm, 's1');
  const from = performance.now();
  await measured(vm, ['--exact']);
  const whole = performance.now() - from;
  for (let round = 0; round < ROUNDS; round++) {
    const run = spawnKvmsnap(['space', 'killed', '--exact']);
    // virsh is at it in the second half
    await Promise.race([sleep((0.3 + 0.7 * random()) * whole), run.done]);
    run.kill('SIGKILL');
    await run.done;
    await waitFor(() => virshProcesses().length === 0, { what: 'the end of virsh', intervalMs: 2 });
    expect({ round, state: state(vm) }).toEqual({ round, state: 'running' });
  }
  await countsOn(vm);
});
