import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { readDomain } from '../../src/libvirt/domains.ts';
import type { DiskImage } from '../../src/model/image.ts';
import { reportSnapshots } from '../../src/model/report.ts';
import { foreseeFreed, whatIsFreed } from '../../src/space/reclaimed.ts';
import { completeVm, type Vm } from '../../src/vm/load.ts';
import { localFiles } from '../host/local-files.ts';
import { disk, domain, seen, snapshot } from '../model.ts';
import { fakeHost } from '../run/fake-host.ts';

const directory = mkdtempSync(join(tmpdir(), 'freed-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A file of that many KiB; returns its path. */
function file(name: string, kib: number): string {
  const path = join(directory, name);
  writeFileSync(path, Buffer.alloc(kib * 1024, 1));
  return path;
}

/** `external`: the files of the memory and of the disk of its snapshot. */
function vmOf(image: DiskImage, source: string, external?: readonly [string, string]): Vm {
  const images = new Map([['vda', image]]);
  const [file, overlay] = external ?? [];
  const taken = file
    ? snapshot('s1', {
        memory: { location: 'external', file },
        disks: [{ target: 'vda', location: 'external', source: overlay ?? null }],
      })
    : snapshot('s1');
  return {
    uri: 'qemu:///system',
    domain: domain({ disks: [disk({ source })] }),
    listed: [],
    snapshotNames: ['s1'],
    unread: [],
    current: 's1',
    images,
    snapshots: reportSnapshots([taken], { current: 's1', busy: false, images }),
  };
}

const bytesOf = async (vm: Vm, remove: () => void) =>
  (await whatIsFreed({ files: localFiles }, vm, async () => remove())).freed.bytes;

describe('what was freed', () => {
  test('is by how much the files of the chain have shrunk, and all of those that are gone', async () => {
    const [overlay, base] = [file('overlay', 64), file('base', 512)];
    const [memory, branch] = [file('s1.mem', 256), file('branch', 32)];
    const expected = [overlay, base, memory, branch].reduce(
      (sum, path) => sum + statSync(path).blocks * 512,
      0,
    );
    const vm = vmOf(seen({ path: overlay }, { path: base }), overlay, [memory, branch]);
    const freed = await bytesOf(vm, () => [overlay, base, memory, branch].map((path) => rmSync(path)));
    expect(freed).toBe(expected);
  });

  test('is nothing where they have grown', async () => {
    const path = file('growing', 64);
    expect(await bytesOf(vmOf(seen({ path }), path), () => file('growing', 128))).toBe(0);
  });

  test.each([
    ['permission', 64 * 1024],
    ['remote', null],
    ['network', null],
  ] as const)('of an image that could not be looked at (%s): %j', async (why, bytes) => {
    const path = file('unseen', 64);
    const image = { kind: 'unseen', why, format: 'qcow2', source: "VM's XML" } as const;
    expect(await bytesOf(vmOf(image, path), () => rmSync(path))).toBe(bytes);
  });
});

test('what cannot be measured is not known beforehand, and no failure', async () => {
  const host = fakeHost();
  const ctx = host.context();
  const vm = await completeVm(ctx, await readDomain(host.libvirt.virsh, 'b-fix'));
  const { alone, together } = await foreseeFreed(ctx, vm, ['off1']);
  expect([alone.size, together]).toEqual([0, { bytes: null, approximate: false }]);
  expect((await foreseeFreed(ctx, vm, [])).together.bytes).toBe(0);
  const failing = (error: Error) => ({ ...ctx, qemuImg: () => Promise.reject(error) });
  const late = failing(new KvmsnapError('timed-out', 'qemu-img took too long'));
  expect((await foreseeFreed(late, vm, ['off1'])).together.bytes).toBeNull();
  await expect(foreseeFreed(failing(new Error('a bug')), vm, ['off1'])).rejects.toThrow('a bug');
  ctx.interrupts.raise('SIGINT');
  await expect(foreseeFreed(late, vm, ['off1'])).rejects.toThrow('took too long');
});
