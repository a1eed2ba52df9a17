// `space --exact`: what a running guest's QEMU has not written out yet counts too, and no guest is left paused for it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { scratch, virsh, waitFor } from '../lab/lab.ts';
import {
  cleanUp,
  continueQemu,
  defineMachine,
  destroy,
  type Machine,
  pathOf,
  start,
  state,
  stopQemu,
} from '../lab/machine.ts';
import { chooseSeed, randomFrom } from '../lab/random.ts';
import { slowVirsh, virshProcesses } from '../lab/saving.ts';
import { MiB } from '../model.ts';
import { pasteOk } from '../lab/evidence.ts';
import { count, fitting, take } from '../lab/scene.ts';

afterAll(cleanUp);

/** With the cache of a virtio disk, which the BIOS sets up, QEMU would write out everything at once. */
function running(name: string): Machine {
  const machine = defineMachine({ name, disks: [{ size: '64M', bus: 'ide' }], boot: 'counter' });
  start(machine);
  return machine;
}

const guest = (machine: Machine, command: string): string =>
  virsh('qemu-monitor-command', '--domain', machine.uuid, '--hmp', `qemu-io -d ide0-0-0 "${command}"`);

/** A snapshot, half of whose 8 MiB the guest has written over since, and QEMU has not written out that it did. */
function behind(name: string): Machine {
  const machine = running(name);
  guest(machine, 'write -P 1 1M 8M');
  take(machine, 's1');
  guest(machine, 'flush');
  guest(machine, 'write -P 2 1M 4M');
  return machine;
}

async function measured(machine: Machine, options: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await kvmsnap(['--json', 'space', machine.name, ...options], { env });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const [snapshot] = fitting('space', JSON.parse(stdout)).domains[0]?.snapshots ?? [];
  if (!snapshot) throw new Error(stdout);
  return { frees: snapshot.freesBytes ?? 0, approximate: snapshot.approximate, stderr };
}

function occupied(machine: Machine): number {
  execFileSync('sync', [pathOf(machine)]);
  return statSync(pathOf(machine)).blocks * 512;
}

/** The PATH to a tool that does something else first, and has these arguments then. */
function wrap(tool: string, first: string, args: string): { PATH: string } {
  const directory = mkdtempSync(join(scratch, 'path-'));
  const path = process.env['PATH'] ?? '';
  const script = `#!/bin/bash\n${first}\nPATH='${path}' exec ${tool} ${args}\n`;
  writeFileSync(join(directory, tool), script, { mode: 0o755 });
  return { PATH: `${directory}:${path}` };
}

async function countsOn(machine: Machine): Promise<void> {
  const before = count(machine);
  await waitFor(() => count(machine) > before, { what: 'the guest goes on' });
}

test('the figure of a running machine is that of the idle one, and what a real delete frees', async () => {
  const machine = behind('exact');
  const plain = await measured(machine, []);
  expect(plain).toMatchObject({ approximate: true, stderr: '' });
  expect(plain.frees).toBeLessThan(MiB);

  const exact = await measured(machine, ['--exact']);
  expect(exact.approximate).toBe(false);
  expect(exact.frees).toBeGreaterThan(4 * MiB);
  expect(exact.stderr).toMatch(/^'exact' was paused for \d+ ms, for QEMU to write all out\n$/);
  expect(state(machine)).toBe('running');
  await countsOn(machine);

  destroy(machine);
  const idle = await measured(machine, ['--exact']);
  expect(idle).toEqual({ frees: exact.frees, approximate: false, stderr: '' });
  const before = occupied(machine);
  virsh('snapshot-delete', '--domain', machine.uuid, 's1');
  expect(Math.abs(before - occupied(machine) - exact.frees)).toBeLessThan(0.25 * MiB);
});

test('what the guest writes just then makes it approximate again', async () => {
  const machine = behind('busy');
  const write = `virsh qemu-monitor-command --domain ${machine.uuid} --hmp 'qemu-io -d ide0-0-0 "write -P 3 16M 64k"'`;
  const env = wrap('qemu-img', `[ "$1" != map ] || ${write} >/dev/null`, '"$@"');
  const { approximate, frees } = await measured(machine, ['--exact'], env);
  expect(approximate).toBe(true);
  expect(frees).toBeGreaterThan(4 * MiB);
});

test('a paused machine stays paused: its images hold all, but for a snapshot that was taken in the pause', async () => {
  const machine = behind('still');
  virsh('suspend', '--domain', machine.uuid);
  const exact = await measured(machine, ['--exact']);
  expect(exact).toMatchObject({ approximate: false, stderr: "note: 'still' is paused, and left so\n" });
  expect(exact.frees).toBeGreaterThan(4 * MiB);

  take(machine, 's2');
  const later = await measured(machine, ['--exact', 's2']);
  expect(later.approximate).toBe(true);
  expect(later.stderr).toContain('QEMU may know more');
  expect(state(machine)).toBe('paused');
  destroy(machine);
  // what it did not know: the memory
  expect((await measured(machine, ['s2'])).frees).toBeGreaterThan(later.frees);
});

test('a resume that fails: exit 1, and the command that mends it', async () => {
  const machine = behind('stuck');
  const env = wrap('virsh', ':', `"\${@/resume/start}"`);
  const { code, stdout, stderr } = await kvmsnap(['--json', 'space', 'stuck', '--exact'], { env });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  const { message, command } = fitting('error', JSON.parse(stderr)).error;
  expect(message).toContain('is paused still');
  expect(state(machine)).toBe('paused');
  pasteOk(command);
  expect(state(machine)).toBe('running');
  await countsOn(machine);
});

/** Whether a virsh, or the shell that becomes one, is at it. */
const isPausing = (machine: Machine): boolean =>
  processes().some(({ args }) => args.join(' ').includes(`suspend --domain ${machine.uuid}`));

test('killed in the middle of the suspend, or before, the machine runs on when virsh has ended', async () => {
  const machine = running('alone');
  take(machine, 's1');
  for (const isStopped of [true, false]) {
    const virshWaits = slowVirsh('suspend', 'resume');
    const run = spawnKvmsnap(['space', 'alone', '--exact'], { env: virshWaits.env });
    await virshWaits.waits();
    if (isStopped) {
      // so that the suspend takes as long as we like
      stopQemu(machine);
      virshWaits.goOn();
      const control = () => virsh('domcontrol', '--domain', machine.uuid);
      await waitFor(() => !control().startsWith('ok'), { what: 'the suspend' });
    }
    run.kill('SIGKILL');
    await run.done;
    if (isStopped) continueQemu(machine);
    else virshWaits.goOn();
    await waitFor(() => !isPausing(machine), { what: 'the end of virsh' });
    expect({ isStopped, state: state(machine) }).toEqual({ isStopped, state: 'running' });
    await countsOn(machine);
  }
});

const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 10);

test(`${ROUNDS} kills at random moments leave it running`, {
  timeout: 60_000 + ROUNDS * 10_000,
}, async () => {
  const seed = chooseSeed();
  process.stdout.write(`KVMSNAP_SEED=${seed}\n`);
  const random = randomFrom(seed);
  const machine = running('killed');
  take(machine, 's1');
  const from = performance.now();
  await measured(machine, ['--exact']);
  const whole = performance.now() - from;
  for (let round = 0; round < ROUNDS; round++) {
    const run = spawnKvmsnap(['space', 'killed', '--exact']);
    // virsh is at it in the second half
    await Promise.race([sleep((0.3 + 0.7 * random()) * whole), run.done]);
    run.kill('SIGKILL');
    await run.done;
    await waitFor(() => virshProcesses().length === 0, { what: 'the end of virsh', intervalMs: 2 });
    expect({ round, state: state(machine) }).toEqual({ round, state: 'running' });
  }
  await countsOn(machine);
});
