// A file system that runs full while the memory is saved (hazard 7).
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteAll, type Refusal, refused } from '../lab/evidence.ts';
import { errorDocument } from '../lab/failure.ts';
import { isSystemLab, scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { FILLED, MARK_ADDRESS } from '../scene/boot.ts';
import { checkImage, hasPattern, imageInfo, tags, writePattern } from '../scene/disk.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, destroy, guestWord, pathOf, start, state, type Vm } from '../scene/vm.ts';

/** The guest fills 64 MiB of memory, and the file system holds 48. */
const FREE = 48;

// what is kept before a change is no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);
afterAll(cleanUp);

/** A guest with a memory full of noise, on a file system that is too small for it. */
async function crowded(name: string, size = '16M'): Promise<Vm> {
  const source = join(smallFilesystem(FREE), 'disk.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, size]);
  const vm = defineVm({ name, memoryMiB: 80, boot: { fill: 64 }, disks: [{ source }] });
  writePattern(source, 0x11, MiB, MiB);
  virsh('snapshot-create-as', vm.uuid, 'old');
  writePattern(source, 0x22, MiB, MiB);
  start(vm);
  await waitFor(() => guestWord(vm, MARK_ADDRESS) === FILLED, { what: 'a full memory' });
  return vm;
}

/** Some space is freed. */
function enlarge(vm: Vm, sizeMiB: number): void {
  tool('mount', ['-n', '-o', `remount,size=${sizeMiB}M`, dirname(pathOf(vm))]);
}

const occupied = (vm: Vm) => statSync(pathOf(vm)).blocks * 512;

describe.runIf(isSystemLab)('a file system too small for the memory (root mounts it)', () => {
  test('is refused beforehand', async () => {
    const vm = await crowded('web-1');
    const before = fingerprint(vm);
    const refusal = await refused('create-as', 'web-1', 's1');
    expect(refusal).toMatchObject({
      exitCode: 5,
      command: null,
      hint: expect.stringContaining('use --force'),
    });
    const [, needed, free] =
      /takes up to (\d+) MiB, but the file system of \S+disk\.qcow2 has only (\d+) MiB free/.exec(
        refusal.message,
      ) ?? [];
    expect(Number(needed)).toBeGreaterThan(64 + 64);
    expect(Number(free)).toBeGreaterThan(FREE - 4);
    expect(Number(free)).toBeLessThan(FREE);
    expect(fingerprint(vm)).toEqual(before);
    // the first advice
    enlarge(vm, 400);
    expect(await kvmsnap(['create-as', 'web-1', 's1'])).toMatchObject({ code: 0, stderr: '' });
    expect(tags(pathOf(vm))[1]?.vmStateSize).toBeGreaterThan(64 * MiB);
  });

  // the memory lies behind the disk's own data, from the next multiple of 512 MiB on
  test.each(['16M', '512M', '700M'])(
    'with --force and a disk of %s, the advice wins the space back',
    async (size) => {
      const vm = await crowded('web-1', size);
      const { 'virtual-size': virtualSize } = imageInfo(pathOf(vm));
      const before = occupied(vm);
      const result = await kvmsnap(['create-as', 'web-1', 's1', '--force', '--json']);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/^warning: the guest's memory takes up to/);
      const refusal: Refusal = errorDocument(result);
      expect(refusal.message).toContain('snapshot s1 of web-1 was not taken');
      expect(refusal.message).toMatch(
        /disk vda: the failed save left 4\d(\.\d)? MiB of unused data in the image/,
      );
      expect(refusal.message).not.toMatch(/\r/);
      expect(refusal.hint).toBe(
        'first free a little space on this file system; then, with the VM off, remove the unused data',
      );
      expect(state(vm)).toBe('running');
      expect(guestWord(vm, MARK_ADDRESS)).toBe(FILLED);
      expect(snapshotNames(vm)).toEqual(['old']);

      destroy(vm);
      expect(occupied(vm)).toBeGreaterThan((FREE - 2) * MiB);
      enlarge(vm, FREE + 1);
      pasteAll(refusal);
      expect(occupied(vm)).toBeLessThan(before + MiB);
      expect(imageInfo(pathOf(vm))['virtual-size']).toBe(virtualSize);
      expect(checkImage(pathOf(vm))).toEqual({ clean: true, leaks: 0, corruptions: 0 });
      expect(hasPattern(pathOf(vm), 0x22, MiB, MiB)).toBe(true);
      expect((await kvmsnap(['create-as', 'web-1', 's1'])).code).toBe(0);
      virsh('snapshot-revert', vm.uuid, 'old');
      expect(hasPattern(pathOf(vm), 0x11, MiB, MiB)).toBe(true);
    },
  );

  test('check reports it while the VM runs, and check --fix wins it back when it is off', async () => {
    const vm = await crowded('web-1');
    const before = occupied(vm);
    const information = imageInfo(pathOf(vm));
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--force'])).code).toBe(1);
    enlarge(vm, 400);
    const fix = async () => {
      const { code, stdout } = await kvmsnap(['check', 'web-1', '--fix', '--yes', '--json']);
      const [domain] = z.parse(DOCUMENTS.check, JSON.parse(stdout)).domains;
      const steps = domain?.fixes.map(({ action, outcome }) => [action, outcome]);
      return { code, steps, left: domain?.findings.map(({ rule }) => rule), fixes: domain?.fixes };
    };
    expect(await fix()).toMatchObject({ code: 5, steps: [], left: ['no-guest-agent', 'unused-memory'] });
    destroy(vm);
    expect(occupied(vm)).toBeGreaterThan((FREE - 2) * MiB);
    const fixed = await fix();
    expect(fixed).toMatchObject({ code: 0, steps: [['win-back', 'done']], left: [] });
    // should it be interrupted in the middle
    expect(readFileSync(fixed.fixes?.[0]?.backup ?? '', 'utf8')).toBe(`${fixed.fixes?.[0]?.commands[1]}\n`);
    expect(occupied(vm)).toBeLessThan(before + MiB);
    expect(imageInfo(pathOf(vm))['virtual-size']).toBe(information['virtual-size']);
    expect(checkImage(pathOf(vm))).toEqual({ clean: true, leaks: 0, corruptions: 0 });
    expect(hasPattern(pathOf(vm), 0x22, MiB, MiB)).toBe(true);
    expect(await fix()).toMatchObject({ code: 0, steps: [] });
    virsh('snapshot-revert', vm.uuid, 'old');
    expect(hasPattern(pathOf(vm), 0x11, MiB, MiB)).toBe(true);
    // memory of a snapshot that has come to its end is none
    start(vm);
    await waitFor(() => guestWord(vm, MARK_ADDRESS) === FILLED, { what: 'a full memory' });
    virsh('snapshot-create-as', vm.uuid, 's1');
    virsh('snapshot-revert', vm.uuid, 's1');
    destroy(vm);
    expect(await fix()).toMatchObject({ code: 0, steps: [], left: [] });
    // but the image itself refers to it since the revert, also when the snapshot is gone
    virsh('snapshot-delete', vm.uuid, 's1');
    expect(occupied(vm)).toBeGreaterThan(64 * MiB);
    expect(await fix()).toMatchObject({ code: 0, steps: [['win-back', 'done']], left: [] });
    expect(occupied(vm)).toBeLessThan(before + MiB);
    expect(checkImage(pathOf(vm))).toEqual({ clean: true, leaks: 0, corruptions: 0 });
  });
});
