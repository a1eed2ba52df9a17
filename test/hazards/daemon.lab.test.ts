// libvirtd and its disks: killed, hung, full, or busy, and what raw virsh then leaves behind.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { type CliResult, kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { killLibvirtd, signalLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { tagCounts } from '../lab/evidence.ts';
import { followHint } from '../lab/failure.ts';
import { sendSignal, tool, tryTool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { FILLED, MARK_ADDRESS } from '../scene/boot.ts';
import { tags } from '../scene/disk.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { fullVm, holdSave, slowVirsh, virshUnderWay } from '../scene/saving.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { succeed, tagNames, take, takeHalf } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  guestWord,
  pathOf,
  start,
  state,
  stateAndReason,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';
import { fix } from './promise/fixing.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const define = (name: string) => defineVm({ name, boot: 'counter', disks: [{ size: '4M' }] });
const create = (vm: Vm, name: string) => tryVirsh('snapshot-create-as', '--domain', vm.uuid, '--name', name);

/** A raw virsh that goes on by itself; `ends` is its exit code. */
function rawCreate(vm: Vm, name: string): { readonly ends: Promise<unknown> } {
  const child = spawn('virsh', ['snapshot-create-as', vm.uuid, name], { stdio: 'ignore' });
  return { ends: new Promise((resolve) => child.on('close', resolve)) };
}

hazard(7, 'file system too small for the memory of a running VM', async () => {
  const FREE = 32;
  const [twin, vm] = (await Promise.all(
    ['twin', 'web-1'].map(async (name) => {
      const source = join(smallFilesystem(FREE), 'disk.qcow2');
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, '4M']);
      const made = defineVm({ name, memoryMiB: 64, boot: { fill: 48 }, disks: [{ source }] });
      start(made);
      await waitFor(() => guestWord(made, MARK_ADDRESS) === FILLED, { what: 'a full memory' });
      return made;
    }),
  )) as [Vm, Vm];
  expect([create(twin, 's1').code, snapshotNames(twin)]).toEqual([1, []]);
  expect(statSync(pathOf(twin)).blocks * 512).toBeGreaterThan((FREE - 2) * MiB);

  const { words } = await refusesAll(vm, 'create-as', 'web-1', 's1');

  destroy(twin);
  tool('mount', ['-n', '-o', `remount,size=${FREE + 8}M`, dirname(pathOf(twin))]);
  expect(await fix(twin)).toEqual(['win-back: done']);
  expect(statSync(pathOf(twin)).blocks * 512).toBeLessThan(2 * MiB);
  return {
    virsh: 'fails, exit 1, and the image keeps all the space',
    kvmsnap: `${words}, unless --force; check --fix frees the space that virsh left in use`,
  };
});

hazard(8, 'virsh is killed while it takes a snapshot', async () => {
  const [twin, vm] = [define('twin'), define('web-1')];
  for (const one of [twin, vm]) start(one);
  await takeHalf(twin, 's1');
  sendSignal(await virshUnderWay('snapshot-create-as'), 'SIGKILL');
  continueQemu(twin);
  await waitFor(() => tagCounts(twin, 's1')[0] === 1, { what: 'the snapshot that nobody waits for' });

  const slow = slowVirsh('snapshot-create-as');
  const run = spawnKvmsnap(['create-as', 'web-1', 's1', '-q'], { env: slow.env });
  await slow.waits();
  stopQemu(vm);
  slow.goOn();
  await waitFor(() => snapshotNames(vm).includes('s1'), { what: 'the job' });
  run.kill('SIGTERM');
  await waitFor(() => run.stderr.includes('libvirt cannot cancel this'), { what: 'a word on the signal' });
  continueQemu(vm);
  expect(await run.done).toMatchObject({ code: 143, stdout: 's1\n' });
  expect([tagCounts(vm, 's1'), state(vm)]).toEqual([[1], 'running']);
  return {
    virsh: 'libvirtd continues, and nobody learns how it ends',
    kvmsnap: 'says so, waits until it has finished, reports the result, exit 143',
  };
});

hazard(9, 'libvirtd is killed while it takes a snapshot', async () => {
  /** Kills it in the middle of the save, and starts it again when QEMU has ended that. */
  async function through<T>(vm: Vm, begin: () => T): Promise<T> {
    const begun = await holdSave(vm, begin);
    await killLibvirtd();
    continueQemu(vm);
    await waitFor(() => tags(pathOf(vm)).length > 0, { what: 'the tag' });
    await startLibvirtd();
    return begun;
  }
  const twin = await fullVm('twin');
  const raw = await through(twin, () => rawCreate(twin, 's1'));
  const left = stateAndReason(twin);
  expect(await raw.ends).toBe(1);
  expect([snapshotNames(twin), tagCounts(twin, 's1')]).toEqual([[], [1]]);
  expect(await fix(twin)).toEqual(['resume: done', 'adopt: done']);
  expect([state(twin), snapshotNames(twin)]).toEqual(['running', ['s1']]);
  destroy(twin);

  const vm = await fullVm('web-1');
  const run = await through(vm, () => spawnKvmsnap(['create-as', 'web-1', 's1']));
  const result: CliResult = await run.done;
  expect(result).toMatchObject({ code: 1, stdout: '' });
  expect(result.stderr).toContain(left);
  expect(result.stderr).toContain('left with a snapshot s1 that is not registered in libvirt');
  followHint(vm, result.stderr);
  if (state(vm) === 'shut off') start(vm);
  await succeed('create-as', 'web-1', 's1');
  expect(tagCounts(vm, 's1')).toEqual([1]);
  return {
    virsh: `leaves the VM ${left}, and a tag that no command shows, exit 1`,
    kvmsnap: 'exit 1, reports both; its advice works; check --fix cleans up what virsh left',
  };
});

hazard(10, 'another job is running on the VM', async () => {
  const vm = define('web-1');
  start(vm);
  const { done } = await takeHalf(vm, 'other');
  const raw = rawCreate(vm, 's1');
  const { code, stderr } = await kvmsnap(['create-as', 'web-1', 's2']);
  expect([await raw.ends, code]).toEqual([1, 7]);
  expect(stderr).toContain('--wait');
  continueQemu(vm);
  await done;
  expect([snapshotNames(vm), tagNames(vm)]).toEqual([['other'], [['other']]]);
  return {
    virsh: 'fails after 30 s, exit 1',
    kvmsnap: 'fails after 30 s, exit 7, nothing incomplete; --wait tries again',
  };
});

hazard(19, 'undefine of a running VM', async () => {
  const vm = define('web-1');
  const definition = virsh('dumpxml', '--domain', vm.uuid);
  for (const name of ['a', 'b']) take(vm, name);
  start(vm);
  expect(tryVirsh('undefine', '--domain', vm.uuid).code).toBe(0);
  destroy(vm);
  const file = join(pathOf(vm), '..', 'again.xml');
  writeFileSync(file, definition);
  virsh('define', file);
  expect([snapshotNames(vm), tagNames(vm)]).toEqual([[], [['a', 'b']]]);

  expect((await kvmsnap(['check', 'web-1'])).code).toBe(5);
  expect(await fix(vm)).toEqual(['adopt: done', 'adopt: done']);
  expect(snapshotNames(vm)).toEqual(['a', 'b']);
  await succeed('revert', 'web-1', 'a');
  return {
    virsh: 'unregisters its snapshots, exit 0; they stay in the image',
    kvmsnap: 'check names them, exit 5; check --fix registers them again',
  };
});

hazard(20, 'names in Chinese where LC_ALL is C', async () => {
  const vm = define('测试机');
  take(vm, '升级之前');
  const env = { LC_ALL: 'C', LANG: 'C' };
  const raw = tool('env', ['LC_ALL=C', 'LANG=C', 'virsh', 'snapshot-list', vm.uuid]);
  expect(raw).toContain('\\xff');
  expect(raw).not.toContain('升级');

  const { code, stdout } = await kvmsnap(['list', '测试机'], { env });
  expect([code, stdout.includes('升级之前')]).toEqual([0, true]);
  return { virsh: 'prints \\xff for each byte', kvmsnap: 'prints the names' };
});

hazard(21, 'libvirtd hangs', async () => {
  signalLibvirtd('SIGSTOP');
  const raw = tryTool('timeout', ['2', 'virsh', 'list']);
  const { code, stdout } = await kvmsnap(['list', '--timeout', '1s']);
  signalLibvirtd('SIGCONT');
  expect([raw.code, code, stdout]).toEqual([124, 124, '']);
  return { virsh: 'waits forever', kvmsnap: 'gives up after 45 s or --timeout, exit 124' };
});

hazard(22, "the directory of libvirt's snapshots is full", async () => {
  const [twin, vm] = [define('twin'), define('web-1')];
  for (const one of [twin, vm]) take(one, 's1');
  const directory = '/var/lib/libvirt/qemu/snapshot';
  const kept = ['twin', 'web-1'].map(
    (name) => [name, readFileSync(join(directory, name, 's1.xml'))] as const,
  );
  smallFilesystem(1, directory);
  for (const [name, xml] of kept) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 's1.xml'), xml);
  }
  const filler = join(directory, 'filler');
  expect(() => writeFileSync(filler, Buffer.alloc(2 * MiB))).toThrow('ENOSPC');
  expect(create(twin, 's2').code).toBe(1);
  expect([snapshotNames(twin), tagCounts(twin, 's2'), currentSnapshot(twin)]).toEqual([['s1'], [1], null]);

  const result = await kvmsnap(['create-as', 'web-1', 's2']);
  expect(result).toMatchObject({ code: 1, stdout: '' });
  expect(result.stderr).toContain('left with a snapshot s2 that is not registered in libvirt');
  expect(result.stderr).toContain('libvirt no longer has s1 as the current snapshot');
  rmSync(filler);
  expect(await fix(twin)).toEqual(['adopt: done']);
  expect(snapshotNames(twin)).toEqual(['s1', 's2']);
  followHint(vm, result.stderr);
  expect([tagNames(vm), currentSnapshot(vm)]).toEqual([[['s1']], 's1']);
  return {
    virsh: 'fails, exit 1; leaves a tag that no command shows, and forgets the current snapshot',
    kvmsnap: 'exit 1, reports both; its advice works; check --fix cleans up what virsh left',
  };
});
