import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { imageInfo, writePattern } from '../lab/disk.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import {
  cleanUp,
  defineMachine,
  destroy,
  type Machine,
  pathOf,
  start,
  state,
  stateAndReason,
} from '../lab/machine.ts';
import { currentSnapshot, snapshotNames } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { pasteOk, writableImages } from '../lab/evidence.ts';
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
} from '../lab/scene.ts';

afterEach(cleanUp);

const THEN = 0x11;
const NOW = 0x22;

const can = since({ '7.0': false, '9.9': true });

const beside = (machine: Machine, ending: string): string => pathOf(machine).replace(/qcow2$/, ending);

/** What the disks hold now, whatever files they lie on. */
const now = (machine: Machine) => writableImages(machine).map(byteIn);

const backings = (machine: Machine) =>
  writableImages(machine).map((path) => imageInfo(path)['backing-filename']);

function overwrite(machine: Machine, byte: number): void {
  for (const path of writableImages(machine)) writePattern(path, byte, 1024 * 1024, 64 * 1024);
}

const scene = (machine: Machine) => ({
  state: state(machine),
  snapshots: snapshotNames(machine),
  current: currentSnapshot(machine),
  images: writableImages(machine),
  bytes: now(machine),
});

const revertRaw = (machine: Machine, name: string, ...options: string[]) =>
  tryVirsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', name, ...options);

describe('to the disks alone', () => {
  test('of a running machine: it ends shut off, and that is said (hazard 18)', async () => {
    const machine = twoDisks('disks', { boot: 'counter' });
    write(machine, THEN);
    start(machine);
    take(machine, 'e1', '--disk-only');
    writeAsGuest(machine, NOW);
    const before = scene(machine);
    if (!can) {
      const { message, command } = await failure(5, 'revert', 'disks', 'e1');
      expect(message).toContain('cannot revert to external snapshots');
      expect(revertRaw(machine, 'e1').code).toBe(1);
      expect(scene(machine)).toEqual(before);
      pasteOk(command); // what it holds can be copied out
      expect(byteIn(`${pathOf(machine)}.e1.copy`)).toBe(THEN);
      return;
    }
    const { stderr, stdout } = await succeed('revert', 'disks', 'e1');
    expect(stderr).toContain('without its memory: --running starts it');
    expect(stderr).toContain('it will then be shut off');
    expect(stdout).toMatch(/^disks +shutoff +e1 /m);
    expect([state(machine), now(machine), currentSnapshot(machine)]).toEqual([
      'shut off',
      [THEN, THEN],
      'e1',
    ]);
    expect(backings(machine)).toEqual(machine.disks.map(({ path }) => path));
    overwrite(machine, NOW);
    // a second one within the second would clash with the overlays of the first
    await succeed('revert', 'disks', 'e1', '--running');
    await succeed('revert', 'disks', 'e1', '--paused');
    expect([state(machine), now(machine)]).toEqual(['paused', [THEN, THEN]]);
    expect(backings(machine)).toEqual(machine.disks.map(({ path }) => path));
  });

  test('of an image whose name has no ending: what is advised does not write over its overlay', async () => {
    const image = join(scratch, 'plain');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M']);
    const machine = defineMachine({ name: 'plain', disks: [{ source: image }] });
    write(machine, THEN);
    take(machine, 'e1', '--disk-only');
    overwrite(machine, NOW);
    expect(writableImages(machine)).toEqual([`${image}.e1`]);
    if (can) {
      await succeed('revert', 'plain', 'e1');
      expect(now(machine)).toEqual([THEN]);
      return;
    }
    const { command } = await failure(5, 'revert', 'plain', 'e1');
    pasteOk(command);
    expect([now(machine), byteIn(`${image}.e1.copy`)]).toEqual([[NOW], THEN]);
  });

  test('in the middle, and to and fro: each keeps what it has', async () => {
    if (!can) return;
    const machine = twoDisks('fro');
    for (const [n, name] of ['e1', 'e2', 'e3'].entries()) {
      if (n === 0) write(machine, 0x31);
      else overwrite(machine, 0x31 + n);
      take(machine, name, '--disk-only');
    }
    overwrite(machine, 0x3f);
    for (const name of ['e2', 'e1', 'e3', 'e2']) {
      const byte = 0x30 + Number(name.slice(1));
      const { snapshot } = await document('revert', 'revert', 'fro', name);
      expect([snapshot.name, now(machine)]).toEqual([name, [byte, byte]]);
      overwrite(machine, 0x3e);
    }
  });
});

describe('with the memory', () => {
  test('the guest goes on from there', async () => {
    if (!can) return;
    const machine = twoDisks('memory', { boot: 'counter' });
    write(machine, THEN);
    start(machine);
    await countTo(machine, 40);
    take(machine, 'm1', '--memspec', beside(machine, 'mem'));
    const counted = count(machine);
    destroy(machine);
    overwrite(machine, NOW);
    await succeed('revert', 'memory', 'm1', '--paused');
    expect([state(machine), now(machine)]).toEqual(['paused', [THEN, THEN]]);
    expect(count(machine)).toBeGreaterThanOrEqual(40);
    expect(count(machine)).toBeLessThanOrEqual(counted);
  });

  test('whose file is missing: virsh loses the running guest, kvmsnap refuses (hazard 36)', async () => {
    const [raw, machine] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = defineMachine({ name, boot: 'counter', disks: [{ size: '16M' }] });
      start(made);
      take(made, 'm1', '--memspec', beside(made, 'mem'));
      renameSync(beside(made, 'mem'), beside(made, 'away'));
      return made;
    }) as [Machine, Machine];
    expect(revertRaw(raw, 'm1').code).toBe(1);
    expect(stateAndReason(raw)).toBe(can ? 'shut off (from snapshot)' : 'running (unpaused)');

    const before = scene(machine);
    for (const option of [[], ['--force']])
      expect(await fail(5, 'revert', 'by-kvmsnap', 'm1', ...option)).toContain(
        `${beside(machine, 'mem')}, which is missing`,
      );
    expect(scene(machine)).toEqual(before);
    if (!can) return;
    renameSync(beside(machine, 'away'), beside(machine, 'mem'));
    await succeed('revert', 'by-kvmsnap', 'm1');
    expect(state(machine)).toBe('running');
  });
});

describe('internal and external ones mixed', () => {
  test('to an internal one in the image below: what lies on it is named (hazard 17)', async () => {
    const machine = twoDisks('mixed');
    write(machine, THEN);
    take(machine, 'i1');
    write(machine, NOW);
    take(machine, 'e2', '--disk-only');
    overwrite(machine, 0x33);
    const before = scene(machine);
    const { message } = await failure(5, 'revert', 'mixed', 'i1');
    expect(message).toContain(`makes useless what lies on ${pathOf(machine)}: 'e2'`);
    const backup = await failure(5, 'revert', 'mixed', 'i1', '--backup', '--force');
    expect(backup.message).toContain(`a backup would be in ${beside(machine, 'e2')}`);
    expect(scene(machine)).toEqual(before);
    pasteOk(backup.command);
    expect(byteIn(`${beside(machine, 'e2')}.backup.copy`)).toBe(0x33);
    await succeed('revert', 'mixed', 'i1', '--force');
    expect([writableImages(machine), now(machine)]).toEqual([
      machine.disks.map(({ path }) => path),
      [THEN, THEN],
    ]);
  });

  test('an internal one in the overlay in use: virsh removes it, kvmsnap refuses (hazard 32)', async () => {
    if (!can) return;
    const [raw, machine] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = twoDisks(name);
      take(made, 'e1', '--disk-only');
      take(made, 'i2');
      virsh('snapshot-current', '--domain', made.uuid, '--snapshotname', 'e1');
      return made;
    }) as [Machine, Machine];
    expect(revertRaw(raw, 'e1').code).toBe(0);
    expect(existsSync(beside(raw, 'e1'))).toBe(false);
    const before = scene(machine);
    expect(await fail(5, 'revert', 'by-kvmsnap', 'e1')).toContain("holds the internal snapshot 'i2'");
    expect(scene(machine)).toEqual(before);
  });

  test('what a revert leaves behind is named, and goes as it says (hazard 23)', async () => {
    if (!can) return;
    const machine = defineMachine({ name: 'left', disks: [{ size: '16M' }] });
    take(machine, 'e1', '--disk-only');
    take(machine, 'i2');
    await succeed('revert', 'left', 'e1');
    const [abandoned = ''] = writableImages(machine);
    const { stderr } = await succeed('revert', 'left', 'i2', '--force');
    expect(writableImages(machine)).toEqual([beside(machine, 'e1')]);
    expect(stderr).toContain(`that this machine does not use: ${abandoned}`);
    pasteOk(/this removes it: (rm .*)$/m.exec(stderr)?.[1] ?? null);
    await succeed('revert', 'left', 'e1');
    await succeed('revert', 'left', 'i2', '--force');
  });
});

test('--reset-nvram is handed on, where libvirt knows it', async () => {
  const machine = twoDisks('nvram');
  take(machine, 's1');
  if (since({ '7.0': false, '9.0': true })) await succeed('revert', 'nvram', 's1', '--reset-nvram');
  else expect(await fail(5, 'revert', 'nvram', 's1', '--reset-nvram')).toContain('cannot reset the NVRAM');
  expect(currentSnapshot(machine)).toBe('s1');
});
