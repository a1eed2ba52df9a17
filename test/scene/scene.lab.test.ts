// VMs and disks as the tests make them, and what the tests read of them.
import { execFile } from 'node:child_process';
import { readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { isSystemLab, scratch, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { FILLED, MARK_ADDRESS } from './boot.ts';
import { checkImage, hasPattern, hasPatternIn, imageInfo, tags, writePattern } from './disk.ts';
import { blockDevice, smallFilesystem, unmount } from './mount.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from './snapshot.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  domainXml,
  guestWord,
  pathOf,
  start,
  state,
  stateAndReason,
  stopQemu,
  undefine,
} from './vm.ts';

const run = promisify(execFile);

afterEach(cleanUp);
afterAll(cleanUp);

describe('vms', () => {
  test('count in memory, and a revert brings the count back', async () => {
    const vm = defineVm({ name: 'counter', boot: 'counter' });
    start(vm);
    const count = () => guestWord(vm, MARK_ADDRESS);
    await waitFor(() => count() >= 5, { what: 'a count' });
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
    const after = count();
    await waitFor(() => count() > after + 120, { what: 'more of a count' });
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    expect(state(vm)).toBe('running');
    const reverted = count();
    expect(reverted).toBeGreaterThanOrEqual(5);
    expect(reverted).toBeLessThan(after + 120);
    await waitFor(() => count() > reverted, { what: 'that it goes on' });
    expect(tags(pathOf(vm))).toMatchObject([{ name: 's1' }]);
    expect(tags(pathOf(vm))[0]?.vmStateSize).toBeGreaterThan(0);
    destroy(vm);
    expect(state(vm)).toBe('shut off');
    destroy(vm);
    undefine(vm);
    expect(tryVirsh('domstate', '--domain', vm.uuid).code).toBe(1);
  });

  test('fill their memory with what does not compress', async () => {
    const vm = defineVm({
      name: 'fill',
      memoryMiB: 96,
      boot: { fill: 64 },
      disks: [{ size: '256M' }],
    });
    start(vm);
    await waitFor(() => guestWord(vm, MARK_ADDRESS) === FILLED, { what: 'the mark' });
    // the LCG's first word at 1 MiB, and memory beyond what was asked for still empty
    expect(guestWord(vm, MiB)).toBe(Number((BigInt(0x12345678) * 1664525n + 1013904223n) & 0xffffffffn));
    expect(guestWord(vm, 65 * MiB - 4)).not.toBe(0);
    expect(guestWord(vm, 66 * MiB)).toBe(0);
    const path = pathOf(vm);
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 'full');
    expect(imageInfo(path)['actual-size']).toBeGreaterThan(64 * MiB);
  });

  test('can be held in the middle of a snapshot', async () => {
    const vm = defineVm({
      name: 'held',
      memoryMiB: 96,
      boot: { fill: 64 },
      disks: [{ size: '256M' }],
    });
    start(vm);
    await waitFor(() => guestWord(vm, MARK_ADDRESS) === FILLED, { what: 'the mark' });
    stopQemu(vm);
    const creating = run('virsh', ['snapshot-create-as', '--domain', vm.uuid, '--name', 'slow']);
    await waitFor(() => snapshotNames(vm).length > 0, { what: 'the snapshot' });
    expect(stateAndReason(vm)).not.toBe('shut off');
    continueQemu(vm);
    await creating;
    expect(state(vm)).toBe('running');
    stopQemu(vm); // cleanUp copes with it
  });

  test.each(['plain', 'two words', `it's "q" <&>`, '测试-虚拟机', '-lead', '$(id);x', '101'])(
    'may be called %s',
    (name) => {
      const vm = defineVm({ name });
      expect(virsh('list', '--all', '--name').split('\n')).toContain(name);
      expect(state(vm)).toBe('shut off');
    },
  );

  test('have disks of every kind', () => {
    const base = pathOf(defineVm({ name: 'base', disks: [{ size: '8M' }] }));
    const vm = defineVm({
      name: 'disks',
      boot: 'idle',
      disks: [
        { format: 'raw', size: '8M', snapshot: 'no' },
        { driver: 'raw' },
        { driver: null },
        { backing: base },
        { device: 'cdrom', source: null, format: 'raw' },
        { device: 'floppy', format: 'raw', size: '1440K' },
        { readonly: true, bus: 'scsi', extraXml: '<serial>s1</serial>' },
        { source: join(scratch, 'missing.qcow2'), target: 'vdx', snapshot: 'external' },
      ],
    });
    const targets = vm.disks.map((disk) => disk.target);
    expect(targets).toEqual(['vda', 'vdb', 'vdc', 'vdd', 'hda', 'fda', 'sda', 'vdx']);
    expect(imageInfo(pathOf(vm)).format).toBe('raw');
    expect(imageInfo(pathOf(vm, 3))['backing-filename']).toBe(base);
    expect(vm.disks[4]?.path).toBe('');
    expect(domainXml(vm)).toContain("snapshot='external'");
  });

  test('start from disks of every format', () => {
    for (const format of ['qcow2', 'raw', 'vmdk']) {
      const vm = defineVm({ name: format, disks: [{ format }], boot: 'idle' });
      start(vm);
      expect(state(vm)).toBe('running');
      expect(hasPattern(pathOf(vm), 0, MiB, MiB)).toBe(true);
    }
  });
});

describe('disks', () => {
  test('show the pattern of now and that of a snapshot', () => {
    const vm = defineVm({ name: 'patterns' });
    const path = pathOf(vm);
    writePattern(path, 0x11, MiB, MiB);
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 'a, b 1');
    writePattern(path, 0x22, MiB, MiB);
    expect(hasPattern(path, 0x22, MiB, MiB)).toBe(true);
    expect(hasPattern(path, 0x11, MiB, MiB)).toBe(false);
    expect(hasPatternIn(path, 'a, b 1', 0x11, MiB, MiB)).toBe(true);
    expect(hasPatternIn(path, 'a, b 1', 0x22, MiB, MiB)).toBe(false);
    expect(tags(path)).toEqual([{ id: '1', name: 'a, b 1', vmStateSize: 0 }]);
    expect(snapshotNames(vm)).toEqual(['a, b 1']);
    expect(currentSnapshot(vm)).toBe('a, b 1');
    expect(snapshotXml(vm, 'a, b 1')).toContain('<domainsnapshot>');
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'a, b 1');
    expect(hasPattern(path, 0x11, MiB, MiB)).toBe(true);
    expect(checkImage(path)).toEqual({ clean: true, leaks: 0, corruptions: 0 });
    expect(() => writePattern(path, 1, 65 * MiB, MiB)).toThrow();
  });

  test('no snapshot is current where there is none', () => {
    expect(currentSnapshot(defineVm({ name: 'none' }))).toBeNull();
  });

  test.runIf(isSystemLab)('can be too small, where root mounts them', () => {
    const directory = smallFilesystem(2);
    expect(() => writeFileSync(join(directory, 'file'), Buffer.alloc(3 * MiB))).toThrow('ENOSPC');
    const { bsize, blocks } = statfsSync(directory);
    expect(bsize * blocks).toBe(2 * MiB);
    unmount(directory);
    expect(readdirSync(directory)).toEqual([]);
  });

  test.runIf(isSystemLab)('can be block devices, which root makes', () => {
    const file = join(scratch, 'disk');
    writeFileSync(file, Buffer.alloc(MiB));
    expect(imageInfo(blockDevice(file))['virtual-size']).toBe(MiB);
    const vm = defineVm({ name: 'block', disks: [{ backend: 'block', size: '8M' }], boot: 'idle' });
    expect(vm.disks[0]?.path).toMatch(/^\/dev\/loop/);
    start(vm);
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
    expect(tags(pathOf(vm))).toHaveLength(1);
  });
});
