// External snapshots that find no place, or are ended in the middle of saving the memory.
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { pasteOk, refused } from '../lab/evidence.ts';
import { errorDocument } from '../lab/failure.ts';
import { isSystemLab, scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { blockDevice, smallFilesystem } from '../scene/mount.ts';
import { fullVm } from '../scene/saving.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, continueQemu, defineVm, pathOf, start, state, stopQemu } from '../scene/vm.ts';
import { active, CANNOT, count, FORCE, SMALL } from './external-vm.ts';

afterEach(cleanUp);

afterAll(cleanUp);

describe.runIf(isSystemLab)('where there is no place (root mounts it)', () => {
  test('for the memory: refused; forced, libvirt fails, and nothing is left but what is said', async () => {
    const directory = smallFilesystem(48);
    const vm = defineVm({ name: 'web-1', memoryMiB: 80, disks: [{}], boot: { fill: 64 } });
    start(vm);
    await waitFor(() => count(vm) === 0xf111ed, { what: 'a full memory' });
    const args = ['create-as', 'web-1', 's1', '--memspec', join(directory, 'm')];
    expect((await refused(...args)).message).toMatch(
      /memory takes up to \d+ MiB, but the file system of \S+\/m has only 48 MiB/,
    );
    const result = await kvmsnap([...args, '--force', '--json']);
    expect(result.code).toBe(1);
    expect(errorDocument(result).message).toContain('snapshot s1 of web-1 was not taken');
    expect(state(vm)).toBe('running');
    expect(active(vm)).toEqual([pathOf(vm)]);
    expect(errorDocument(result).hint).toBeNull();
    expect([join(directory, 'm'), pathOf(vm).replace('.qcow2', '.s1')].filter(existsSync)).toEqual([]);
  });

  test('beside a block device: a file or another device is to be named', async () => {
    const vm = defineVm({ name: 'web-1', disks: [{ ...SMALL, backend: 'block' }] });
    const { hint } = await refused('create-as', 'web-1', 's1', '--external');
    expect(hint).toContain('--diskspec vda,file=/');
    const file = join(scratch, 'o');
    const named = await kvmsnap(['create-as', 'web-1', 's1', '--diskspec', `vda,file=${file}`, '--force']);
    const warning = CANNOT ?? 'is not a file, and libvirt cannot revert such a disk';
    expect(named).toMatchObject({ code: 0, stderr: expect.stringContaining(warning) });
    expect(active(vm)).toEqual([file]);
    tool('truncate', ['--size=8M', join(scratch, 'device')]);
    const device = blockDevice(join(scratch, 'device'));
    const spec = `vda,stype=block,file=${device}`;
    const { message } = await refused('create-as', 'web-1', 's2', '--diskspec', spec);
    expect(message).toContain(`the overlay will overwrite everything on ${device}`);
    expect((await kvmsnap(['create-as', 'web-1', 's2', '--diskspec', spec, '--force'])).code).toBe(0);
    expect(active(vm)).toEqual([device]);
  });

  test("for libvirt's own record: what it has left is told, and the advice takes it back", async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL], boot: 'idle' });
    start(vm);
    virsh('snapshot-create-as', vm.uuid, 'first', '--disk-only');
    const first = active(vm);
    const records = smallFilesystem(1, '/var/lib/libvirt/qemu/snapshot');
    tool('dd', ['if=/dev/zero', `of=${records}/fill`, 'bs=1M', 'count=1']);
    const result = await kvmsnap(['create-as', 'web-1', 's1', '--external', '--force', '--json']);
    expect(result.code).toBe(1);
    const { message, findings } = errorDocument(result);
    expect(message).toContain('unable to save metadata');
    expect(message).toContain('which belongs to no snapshot');
    expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.s1')]);
    for (const line of findings.flatMap(({ hint, commands }) => [hint ?? '', ...commands]))
      if (/^(rm|virsh blockcommit) /.test(line)) pasteOk(line);
    expect(active(vm)).toEqual(first);
    const made = ['vda.s1', 'web-1.s1.mem'].map((name) => join(dirname(pathOf(vm)), name));
    expect(made.filter(existsSync)).toEqual([]);
    expect(tryVirsh('domstate', vm.uuid).stdout).toContain('running');
  });
});

describe('ended in the middle of saving the memory', () => {
  /** A save to a file, held in the middle; `continueQemu` lets it come to its end. */
  async function heldSave() {
    const vm = await fullVm('web-1');
    const memory = join(dirname(pathOf(vm)), 'web-1.s1.mem');
    const run = spawnKvmsnap(['create-as', 'web-1', 's1', '--external', '--force']);
    const begun = () => existsSync(memory) && statSync(memory).size > MiB;
    await waitFor(begun, { what: 'a save', intervalMs: 1 });
    stopQemu(vm);
    return { vm, memory, run };
  }

  test('a signal: kvmsnap waits for the true end, and the snapshot is whole', async () => {
    const { vm, memory, run } = await heldSave();
    run.kill('SIGTERM');
    await waitFor(() => run.stderr.includes('Waiting for it to finish'), { what: 'the note' });
    continueQemu(vm);
    expect(await run.done).toMatchObject({ code: 143, stdout: expect.stringContaining('taken') });
    expect([state(vm), currentSnapshot(vm)]).toEqual(['running', 's1']);
    expect(statSync(memory).size).toBeGreaterThan(96 * MiB);
    expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.s1')]);
  });

  test('libvirtd dies: what is left is told, the advice clears it away, and the same works then', async () => {
    const { vm, memory, run } = await heldSave();
    await killLibvirtd();
    continueQemu(vm);
    await startLibvirtd();
    const { code, stderr } = await run.done;
    expect(code).toBe(1);
    expect(stderr).toContain('snapshot s1 of web-1 was not taken');
    expect(stderr).toContain(`${memory} was created, and nothing uses it`);
    expect(snapshotNames(vm)).toEqual([]);
    expect(active(vm)).toEqual([pathOf(vm)]);
    for (const [line] of stderr.matchAll(/(?<=^(hint: | *))(rm|virsh resume) .*/gm)) pasteOk(line);
    expect(state(vm)).toBe('running');
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--external', ...FORCE])).code).toBe(0);
  });
});
