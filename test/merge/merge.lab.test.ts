// `merge`: overlays that a backup tool has left; judged by the bytes on the disks, by virsh and by qemu-img.
import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { type Process, processes } from '../lab/daemon.ts';
import { fingerprint, refused } from '../lab/evidence.ts';
import { scratch, sendSignal, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { imageInfo, writePattern } from '../scene/disk.ts';
import { removeMounts, replaceCommand, smallFilesystem } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import {
  allClean,
  byteIn,
  bytes,
  document,
  NOW,
  succeed,
  THEN,
  take,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(async () => {
  await cleanUp();
  removeMounts();
});

/** The files that the disks of the VM use, now or at the next start. */
const inUse = (vm: Vm, ...when: string[]): string[] =>
  [...virsh('dumpxml', ...when, '--domain', vm.uuid).matchAll(/<source file='([^']*)'/g)].map(
    ([, path]) => path ?? '',
  );

const overlay = (vm: Vm, name: string, n = 0) => pathOf(vm, n).replace(/qcow2$/, name);

/** What a backup tool does, which then dies. */
const backUp = (vm: Vm, name: string) =>
  virsh('snapshot-create-as', vm.uuid, name, '--disk-only', '--no-metadata');

/** A running VM with THEN in its images and NOW in the overlays of a backup tool. */
function backedUp(...names: string[]): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '16M' }, { size: '16M' }] });
  write(vm, THEN);
  start(vm);
  for (const name of names) backUp(vm, name);
  writeAsGuest(vm, NOW);
  return vm;
}

/** The VM uses its own images, now and at the next start, with this content, and no overlay is left. */
function isMerged(vm: Vm, byte: number): void {
  const own = vm.disks.map(({ path }) => path);
  expect(inUse(vm, '--inactive')).toEqual(own);
  if (state(vm) !== 'shut off') destroy(vm);
  expect([bytes(vm), allClean(vm)]).toEqual([own.map(() => byte), true]);
  expect(own.map((path) => imageInfo(path)['backing-filename'])).toEqual(own.map(() => undefined));
  expect(left(vm)).toEqual([]);
  start(vm);
}

/** The overlays of the backup tool that still exist. */
const left = (vm: Vm): string[] =>
  ['b1', 'b2']
    .flatMap((name) => vm.disks.map((_, n) => overlay(vm, name, n)))
    .filter((path) => existsSync(path));

describe('a VM that runs', () => {
  test('is merged through several overlays of two disks; check names them before, and nothing afterwards', async () => {
    const vm = backedUp('b1', 'b2');
    const before = fingerprint(vm);
    expect((await refused('merge', 'web')).exitCode).toBe(10);
    const { stdout: plan } = await succeed('merge', 'web', '--dry-run');
    expect([plan.match(/blockcommit/g)?.length, fingerprint(vm)]).toEqual([2, before]);
    const { stdout: found } = await succeed('check', 'web', '-o', 'csv');
    expect(found.match(/unmerged-overlay/g)?.length).toBe(2);

    const { disks } = await document('merge', 'merge', 'web', '--yes');
    expect(disks.map(({ overlays }) => overlays.length)).toEqual([2, 2]);
    expect(inUse(vm)).toEqual(vm.disks.map(({ path }) => path));
    isMerged(vm, NOW);
    expect((await succeed('check', 'web', '-o', 'csv')).stdout).not.toContain('unmerged-overlay');
    expect((await succeed('merge', 'web', '--yes')).stdout).toBe('');
  });

  test('has a merge completed that lacks its last step; a copy of another program is refused', async () => {
    const vm = backedUp('b1');
    virsh('blockcommit', vm.uuid, 'vda', '--active', '--wait');
    await succeed('merge', 'web', '--yes');
    isMerged(vm, NOW);
    const copy = join(scratch, 'copy.img');
    virsh('blockcopy', vm.uuid, 'vda', copy, '--transient-job', '--wait');
    expect((await refused('merge', 'web', '--yes')).message).toContain('a job (copy) of another program');
  });

  test('keeps its internal snapshots in the image below', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '16M' }] });
    write(vm, THEN);
    take(vm, 's1');
    start(vm);
    backUp(vm, 'b1');
    writeAsGuest(vm, NOW);
    await succeed('merge', 'web', '--yes');
    isMerged(vm, NOW);
    await succeed('revert', 'web', 's1');
    expect(bytes(vm)).toEqual([THEN]);
  });
});

test('a file system that becomes full while the merge runs is named, and nothing is lost', async () => {
  const small = smallFilesystem(8);
  const vm = defineVm({ name: 'web', disks: [{ source: join(small, 'web.qcow2') }] });
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', pathOf(vm), '16M']);
  start(vm);
  backUp(vm, 'b1');
  writeAsGuest(vm, NOW);
  replaceCommand(
    '/usr/bin/virsh',
    (original) =>
      `#!/bin/sh\ncase "$*" in *blockcommit*) [ -e '${small}.full' ] || { : >'${small}.full'; cat /dev/zero >'${small}/fill' 2>&-; } ;; esac\nexec '${original}' "$@"\n`,
  );
  const { code, stderr } = await kvmsnap(['merge', 'web', '--yes']);
  expect([code, stderr]).toEqual([1, expect.stringContaining(`the file system of ${pathOf(vm)} is full`)]);
  expect([inUse(vm)[0], byteIn(overlay(vm, 'b1'))]).toEqual([overlay(vm, 'b1'), NOW]);
  rmSync(join(small, 'fill'));
  await succeed('merge', 'web', '--yes');
  isMerged(vm, NOW);
});

describe('a VM that is off', () => {
  test('is merged, also into a raw image, and starts with the content', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '16M' }, { size: '16M', format: 'raw' }] });
    start(vm);
    backUp(vm, 'b1');
    backUp(vm, 'b2');
    writeAsGuest(vm, NOW);
    destroy(vm);
    await succeed('merge', 'web', '--yes');
    expect(inUse(vm)).toEqual(vm.disks.map(({ path }) => path));
    expect(vm.disks.map(({ path }) => byteIn(path))).toEqual([NOW, NOW]);
    expect(domainXml(vm)).toContain("type='raw'");
    start(vm);
  });
});

describe('what is refused, with every file as before', () => {
  /** Refused with these words; nothing has changed. */
  async function leavesAll(vm: Vm, words: string, ...options: string[]): Promise<void> {
    const before = [inUse(vm), inUse(vm, '--inactive'), vm.disks.map(({ path }) => imageInfo(path))];
    const { message, exitCode } = await refused('merge', vm.name, '--yes', ...options);
    expect([exitCode, message]).toEqual([5, expect.stringContaining(words)]);
    expect([inUse(vm), inUse(vm, '--inactive'), vm.disks.map(({ path }) => imageInfo(path))]).toEqual(before);
  }

  test('an image that another VM lies on, or that another disk uses', async () => {
    const vm = backedUp('b1');
    destroy(vm);
    const clone = join(scratch, 'clone.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', pathOf(vm), clone]);
    const other = defineVm({ name: 'other', disks: [{ source: clone }] });
    await leavesAll(vm, 'VM other (shut off) has an overlay on top of it');
    expect(existsSync(pathOf(other))).toBe(true);
  });

  test('an overlay with a snapshot in it, a file that holds the state of an external snapshot, a managed save', async () => {
    const vm = backedUp('b1');
    destroy(vm);
    tool('qemu-img', ['snapshot', '-c', 'inside', overlay(vm, 'b1')]);
    await leavesAll(vm, 'contains the snapshot inside');
    tool('qemu-img', ['snapshot', '-d', 'inside', overlay(vm, 'b1')]);
    take(vm, 'e1', '--disk-only');
    expect((await succeed('merge', 'web', '--yes')).stdout).toBe('');
    await leavesAll(vm, 'belongs to a snapshot', '--into', pathOf(vm));
    expect(snapshotNames(vm)).toEqual(['e1']);
  });

  test('a template with another name is left alone unless it is named', async () => {
    const base = join(scratch, 'template.img');
    const own = join(scratch, 'template.web.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', base, '16M']);
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, own]);
    const vm = defineVm({ name: 'web', disks: [{ source: own }] });
    writePattern(own, NOW, 1024 * 1024, 64 * 1024);
    const { stderr } = await succeed('merge', 'web', '--yes');
    expect([stderr, inUse(vm)]).toEqual([expect.stringContaining('may be a template'), [own]]);
    await leavesAll(vm, 'is not the backing file of an overlay', '--into', join(scratch, 'nothing.img'));
    await succeed('merge', 'web', '--yes', '--into', base);
    expect([inUse(vm), byteIn(base), existsSync(own)]).toEqual([[base], NOW, false]);
  });
});

const isMerging = (vm: Vm) => tryVirsh('dumpxml', vm.uuid).stdout.includes("job='active-commit'");
const isReady = (vm: Vm) => tryVirsh('dumpxml', vm.uuid).stdout.includes("ready='yes'");

/** The process of which a merge can lose the use. */
const PROCESSES = {
  virsh: ({ args }: Process) => basename(args[0] ?? '') === 'virsh' && args.includes('blockcommit'),
  qemu: ({ args }: Process) => args.some((word) => word.startsWith('guest=web,')),
};

describe('a merge that is killed', () => {
  test.each(['kvmsnap', 'virsh', 'qemu'] as const)(
    '%s: the content stays, and the next merge completes it',
    async (killed) => {
      const vm = backedUp('b1');
      const run = spawnKvmsnap(['merge', 'web', '--yes']);
      await waitFor(() => isMerging(vm) || !existsSync(overlay(vm, 'b1')), {
        what: 'the merge',
        intervalMs: 0,
      });
      if (killed === 'kvmsnap') run.kill('SIGKILL');
      else for (const { pid } of processes().filter(PROCESSES[killed])) sendSignal(pid, 'SIGKILL');
      await run.done;
      await waitFor(() => !isMerging(vm) || isReady(vm), { what: 'its end' });
      if (state(vm) === 'shut off') start(vm);
      // one that is still copying is refused
      await waitFor(async () => (await kvmsnap(['merge', 'web', '--yes'])).code === 0, { what: 'a merge' });
      isMerged(vm, NOW);
    },
  );

  /** After the merge and before the removal of the overlays. */
  function leftBehind(isRunning: boolean): Vm {
    const vm = backedUp('b1', 'b2');
    if (isRunning) {
      for (const { target, path } of vm.disks)
        virsh('blockcommit', vm.uuid, target, '--base', path, '--active', '--wait', '--pivot');
      return vm;
    }
    destroy(vm);
    const file = join(scratch, 'merged.xml');
    const over = /<backingStore type[\s\S]*?<\/backingStore>\s*(?=<target)/g;
    writeFileSync(file, domainXml(vm).replace(over, '').replace(/\.b2'/g, ".qcow2'"));
    for (const { path } of vm.disks)
      tool('qemu-img', ['commit', '-q', '-d', '-b', path, path.replace(/qcow2$/, 'b2')]);
    virsh('define', file);
    return vm;
  }

  test('before the overlays were removed: check names the command that removes them', async () => {
    const running = leftBehind(true);
    await succeed('merge', 'web', '--yes');
    isMerged(running, NOW);
    await cleanUp();
    const vm = leftBehind(false);
    const { stdout } = await succeed('check', 'web', '-o', 'csv');
    for (const path of left(vm)) expect(stdout).toContain(`${path} is an overlay of`);
    expect(stdout.match(/,kvmsnap merge web,/g)?.length).toBe(4);
    const { stdout: plan } = await succeed('merge', 'web', '--dry-run');
    expect([plan.match(/ && rm /g)?.length, left(vm).length]).toEqual([2, 4]);
    expect((await refused('merge', 'web')).exitCode).toBe(10);
    const { leftovers } = await document('merge', 'merge', 'web', '--yes');
    expect(leftovers.map(({ removed }) => removed)).toEqual([true, true, true, true]);
    isMerged(vm, NOW);
  });

  test('an unused overlay stays if its content is nowhere else, a snapshot is in it, or something uses it', async () => {
    const vm = leftBehind(false);
    const copies = vm.disks.map((_, n) => overlay(vm, 'b2', n));
    writePattern(copies[0] ?? '', THEN, 2 ** 20, 2 ** 16);
    tool('qemu-img', ['snapshot', '-c', 'inside', copies[1] ?? '']);
    const { stderr } = await succeed('merge', 'web', '--yes');
    expect(stderr).toContain(`its content is not in ${pathOf(vm)}`);
    expect(stderr).toContain('it contains snapshots');
    expect([left(vm).length, bytes(vm)]).toEqual([4, [NOW, NOW]]);
    tool('qemu-img', ['snapshot', '-d', 'inside', copies[1] ?? '']);
    const other = defineVm({ name: 'other', disks: [{ source: copies[1] ?? '' }] });
    await succeed('merge', 'web', '--yes');
    expect(left(vm).length).toBe(4);
    virsh('undefine', other.uuid);
    // a clone that somebody has prepared has the same content and another name
    const clone = join(scratch, 'clone.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', pathOf(vm, 1), clone]);
    const prepared = pathOf(vm, 1).replace(/qcow2$/, 'clone.qcow2');
    copyFileSync(clone, prepared);
    await succeed('merge', 'web', '--yes');
    expect([left(vm), existsSync(prepared)]).toEqual([[overlay(vm, 'b1'), copies[0]], true]);
  });
});
