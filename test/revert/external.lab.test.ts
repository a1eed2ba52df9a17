import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { pasteOk, writableImages } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { imageInfo, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import {
  byteIn,
  count,
  countTo,
  document,
  fail,
  failure,
  succeed,
  take,
  twoDisks,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, state, stateAndReason, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const THEN = 0x11;
const NOW = 0x22;

const can = since({ '7.0': false, '9.9': true });

const beside = (vm: Vm, ending: string): string => pathOf(vm).replace(/qcow2$/, ending);

/** What the disks hold now, whatever files they lie on. */
const now = (vm: Vm) => writableImages(vm).map(byteIn);

const backings = (vm: Vm) => writableImages(vm).map((path) => imageInfo(path)['backing-filename']);

function overwrite(vm: Vm, byte: number): void {
  for (const path of writableImages(vm)) writePattern(path, byte, 1024 * 1024, 64 * 1024);
}

const scene = (vm: Vm) => ({
  state: state(vm),
  snapshots: snapshotNames(vm),
  current: currentSnapshot(vm),
  images: writableImages(vm),
  bytes: now(vm),
});

const revertRaw = (vm: Vm, name: string, ...options: string[]) =>
  tryVirsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name, ...options);

describe('to the disks alone', () => {
  test('of a running VM: it ends shut off, and that is said (hazard 18)', async () => {
    const vm = twoDisks('disks', { boot: 'counter' });
    write(vm, THEN);
    start(vm);
    take(vm, 'e1', '--disk-only');
    writeAsGuest(vm, NOW);
    const before = scene(vm);
    if (!can) {
      const { message, command } = await failure(5, 'revert', 'disks', 'e1');
      expect(message).toContain('cannot revert to external snapshots');
      expect(revertRaw(vm, 'e1').code).toBe(1);
      expect(scene(vm)).toEqual(before);
      pasteOk(command); // what it holds can be copied out
      expect(byteIn(`${pathOf(vm)}.e1.copy`)).toBe(THEN);
      return;
    }
    const { stderr, stdout } = await succeed('revert', 'disks', 'e1');
    expect(stderr).toContain('without its memory; --running starts the VM');
    expect(stderr).toContain('the VM will be shut off afterwards');
    expect(stdout).toMatch(/^disks +shut off +e1 /m);
    expect([state(vm), now(vm), currentSnapshot(vm)]).toEqual(['shut off', [THEN, THEN], 'e1']);
    expect(backings(vm)).toEqual(vm.disks.map(({ path }) => path));
    overwrite(vm, NOW);
    // a second one within the second would clash with the overlays of the first
    await succeed('revert', 'disks', 'e1', '--running');
    await succeed('revert', 'disks', 'e1', '--paused');
    expect([state(vm), now(vm)]).toEqual(['paused', [THEN, THEN]]);
    expect(backings(vm)).toEqual(vm.disks.map(({ path }) => path));
  });

  test('of an image whose name has no ending: what is advised does not write over its overlay', async () => {
    const image = join(scratch, 'plain');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M']);
    const vm = defineVm({ name: 'plain', disks: [{ source: image }] });
    write(vm, THEN);
    take(vm, 'e1', '--disk-only');
    overwrite(vm, NOW);
    expect(writableImages(vm)).toEqual([`${image}.e1`]);
    if (can) {
      await succeed('revert', 'plain', 'e1');
      expect(now(vm)).toEqual([THEN]);
      return;
    }
    const { command } = await failure(5, 'revert', 'plain', 'e1');
    pasteOk(command);
    expect([now(vm), byteIn(`${image}.e1.copy`)]).toEqual([[NOW], THEN]);
  });

  test('in the middle, and to and fro: each keeps what it has', async () => {
    if (!can) return;
    const vm = twoDisks('fro');
    for (const [n, name] of ['e1', 'e2', 'e3'].entries()) {
      if (n === 0) write(vm, 0x31);
      else overwrite(vm, 0x31 + n);
      take(vm, name, '--disk-only');
    }
    overwrite(vm, 0x3f);
    for (const name of ['e2', 'e1', 'e3', 'e2']) {
      const byte = 0x30 + Number(name.slice(1));
      const { snapshot } = await document('revert', 'revert', 'fro', name);
      expect([snapshot.name, now(vm)]).toEqual([name, [byte, byte]]);
      overwrite(vm, 0x3e);
    }
  });
});

describe('with the memory', () => {
  test('the guest goes on from there', async () => {
    if (!can) return;
    const vm = twoDisks('memory', { boot: 'counter' });
    write(vm, THEN);
    start(vm);
    await countTo(vm, 40);
    take(vm, 'm1', '--memspec', beside(vm, 'mem'));
    const counted = count(vm);
    destroy(vm);
    overwrite(vm, NOW);
    await succeed('revert', 'memory', 'm1', '--paused');
    expect([state(vm), now(vm)]).toEqual(['paused', [THEN, THEN]]);
    expect(count(vm)).toBeGreaterThanOrEqual(40);
    expect(count(vm)).toBeLessThanOrEqual(counted);
  });

  test('whose file is missing: virsh stops the running guest, kvmsnap refuses (hazard 36)', async () => {
    // where nobody looks for it: one beside it would be found (hazard 45)
    const away = ({ name }: Pick<Vm, 'name'>) => join(scratch, `${name}.away`);
    const [raw, vm] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = defineVm({ name, boot: 'counter', disks: [{ size: '16M' }] });
      start(made);
      take(made, 'm1', '--memspec', beside(made, 'mem'));
      renameSync(beside(made, 'mem'), away(made));
      return made;
    }) as [Vm, Vm];
    expect(revertRaw(raw, 'm1').code).toBe(1);
    expect(stateAndReason(raw)).toBe(can ? 'shut off (from snapshot)' : 'running (unpaused)');

    const before = scene(vm);
    for (const option of [[], ['--force']])
      expect(await fail(5, 'revert', 'by-kvmsnap', 'm1', ...option)).toContain(
        `${beside(vm, 'mem')}, is missing`,
      );
    expect(scene(vm)).toEqual(before);
    if (!can) return;
    renameSync(away(vm), beside(vm, 'mem'));
    await succeed('revert', 'by-kvmsnap', 'm1');
    expect(state(vm)).toBe('running');
  });
});

describe('internal and external ones mixed', () => {
  test('to an internal one in the image below: what lies on it is named (hazard 17)', async () => {
    const vm = twoDisks('mixed');
    write(vm, THEN);
    take(vm, 'i1');
    write(vm, NOW);
    take(vm, 'e2', '--disk-only');
    overwrite(vm, 0x33);
    const before = scene(vm);
    const { message } = await failure(5, 'revert', 'mixed', 'i1');
    expect(message).toContain(`makes the snapshots on top of ${pathOf(vm)} unusable: e2`);
    const backup = await failure(5, 'revert', 'mixed', 'i1', '--backup', '--force');
    expect(backup.message).toContain(`the backup would be in ${beside(vm, 'e2')}`);
    expect(scene(vm)).toEqual(before);
    pasteOk(backup.command);
    expect(byteIn(`${beside(vm, 'e2')}.backup.copy`)).toBe(0x33);
    await succeed('revert', 'mixed', 'i1', '--force');
    expect([writableImages(vm), now(vm)]).toEqual([vm.disks.map(({ path }) => path), [THEN, THEN]]);
  });

  test('an internal one in the overlay in use: virsh removes it, kvmsnap refuses (hazard 32)', async () => {
    if (!can) return;
    const [raw, vm] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = twoDisks(name);
      take(made, 'e1', '--disk-only');
      take(made, 'i2');
      virsh('snapshot-current', '--domain', made.uuid, '--snapshotname', 'e1');
      return made;
    }) as [Vm, Vm];
    expect(revertRaw(raw, 'e1').code).toBe(0);
    expect(existsSync(beside(raw, 'e1'))).toBe(false);
    const before = scene(vm);
    expect(await fail(5, 'revert', 'by-kvmsnap', 'e1')).toContain('contains the internal snapshot i2');
    expect(scene(vm)).toEqual(before);
  });

  test('what a revert leaves behind is named, and goes as it says (hazard 23)', async () => {
    if (!can) return;
    const vm = defineVm({ name: 'left', disks: [{ size: '16M' }] });
    take(vm, 'e1', '--disk-only');
    take(vm, 'i2');
    await succeed('revert', 'left', 'e1');
    const [abandoned = ''] = writableImages(vm);
    const { stderr } = await succeed('revert', 'left', 'i2', '--force');
    expect(writableImages(vm)).toEqual([beside(vm, 'e1')]);
    expect(stderr).toContain(`left behind the unused file ${abandoned}`);
    pasteOk(/To remove it:\n +(rm .*)$/m.exec(stderr)?.[1] ?? null);
    await succeed('revert', 'left', 'e1');
    await succeed('revert', 'left', 'i2', '--force');
  });
});

test('--reset-nvram is handed on, where libvirt knows it', async () => {
  const vm = twoDisks('nvram');
  take(vm, 's1');
  if (since({ '7.0': false, '9.0': true })) await succeed('revert', 'nvram', 's1', '--reset-nvram');
  else expect(await fail(5, 'revert', 'nvram', 's1', '--reset-nvram')).toContain('cannot reset the NVRAM');
  expect(currentSnapshot(vm)).toBe('s1');
});
