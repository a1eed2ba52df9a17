import { existsSync, mkdtempSync, readdirSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { libvirtdPid, repairLibvirtd } from '../lab/daemon.ts';
import { pasteOk, writableImages } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { hasPattern, imageInfo, writePattern } from '../scene/disk.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { deletedOf, fail, failure, succeed, tagNames, take, twoDisks } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  pathOf,
  qemuPid,
  start,
  state,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';

afterEach(cleanUp);

const STEP = 1024 * 1024;

/** Writes the nth step's byte at a place of its own, into what the disks of a VM that is off lie on now. */
function step(vm: Vm, n: number): void {
  for (const path of activeImages(vm)) writePattern(path, 0x10 + n, n * STEP, 64 * 1024);
}

const activeImages = (vm: Vm): string[] => writableImages(vm);

/** Which of the first four steps all disks hold. */
function steps(vm: Vm): number[] {
  const held = activeImages(vm).map(stepsIn);
  return [0, 1, 2, 3].filter((n) => held.every((all) => all.includes(n)));
}

function stepsIn(path: string): number[] {
  const reads = [0, 1, 2, 3].flatMap((n) => ['-c', `read -v ${n * STEP} 512`]);
  const shown = tool('qemu-io', ['-r', '-U', '-f', imageInfo(path).format, ...reads, path]);
  const firsts = [...shown.matchAll(/^([0-9a-f]{8}): {2}([0-9a-f]{2})/gm)];
  return firsts.flatMap(([, offset = '', byte = '']) => {
    const n = Number.parseInt(byte, 16) - 0x10;
    return Number.parseInt(offset, 16) === n * STEP ? [n] : [];
  });
}

/** The file under each disk, and those under it, by their endings. */
function chain(vm: Vm, n = 0): string[] {
  const links: string[] = [];
  for (let path: string | undefined = activeImages(vm)[n]; path; ) {
    links.push(path.slice(path.lastIndexOf('.') + 1));
    path = imageInfo(path)['backing-filename'];
  }
  return links;
}

/** The files beside the first disk. */
const files = (vm: Vm): string[] => readdirSync(dirname(pathOf(vm))).filter((name) => name !== 'VM.xml');

const beside = (vm: Vm, ending: string): string => pathOf(vm).replace(/qcow2$/, ending);

/** Off, with the external snapshots of these names, and a step written before and after each. */
function layered(name: string, ...snapshots: string[]): Vm {
  return layer(defineVm({ name, disks: [{ size: '16M' }] }), ...snapshots);
}

function layer(vm: Vm, ...snapshots: string[]): Vm {
  step(vm, 0);
  for (const [n, snapshot] of snapshots.entries()) {
    take(vm, snapshot, '--disk-only');
    step(vm, n + 1);
  }
  return vm;
}

function freeBytesAt(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

const deleteRaw = (vm: Vm, name: string) =>
  tryVirsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', name);

const revertRaw = (vm: Vm, name: string) =>
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name);

/** All that a refusal must leave as it was. */
const scene = (vm: Vm) => ({
  state: state(vm),
  snapshots: snapshotNames(vm),
  current: currentSnapshot(vm),
  chain: chain(vm),
  files: files(vm),
  steps: steps(vm),
});

/** What this libvirt cannot delete at all is refused with what helps. */
async function refusedHere(vm: Vm, name: string): Promise<boolean> {
  if (since({ '7.0': false, '9.0': true })) return false;
  const before = scene(vm);
  const { message, command } = await failure(5, 'delete', vm.name, name);
  expect(message).toContain('this libvirtd (before 9.0) cannot delete external snapshots');
  expect(command).toBe(`kvmsnap delete --metadata ${vm.name} ${name}`);
  expect(deleteRaw(vm, name).stderr).toContain('external disk snapshots not supported yet');
  expect(scene(vm)).toEqual(before);
  return true;
}

describe('a dry run of several is the verdict of the real one', () => {
  /** e1, e2, e3 one over the other; of `mixed` an internal one below them, and one in the last overlay. */
  function lineOf(kind: 'off' | 'running' | 'mixed'): Vm {
    const vm = defineVm({ name: 'line', disks: [{ size: '16M' }], boot: 'idle' });
    if (kind === 'running') start(vm);
    if (kind === 'mixed') take(vm, 'below');
    for (const name of ['e1', 'e2', 'e3']) take(vm, name, '--disk-only');
    if (kind === 'mixed') take(vm, 'above');
    return vm;
  }

  test.each([
    ['off', 'e3 e2 e1', { '7.0': '', '9.0': 'e3 e2 e1' }],
    ['off', 'e3 e1 e2', { '7.0': '', '9.0': 'e3', '11.3': 'e3 e1 e2' }],
    ['off', 'e1 e3 e2', { '7.0': '', '11.3': 'e1 e3 e2' }],
    ['running', 'e1 e3 e2', { '7.0': '', '9.0': 'e1 e3 e2' }],
    ['running', 'e2 e1 e3', { '7.0': '', '9.0': 'e2 e1 e3' }],
    ['mixed', 'above e3 e2 e1', { '7.0': 'above', '9.0': 'above e3 e2' }],
    ['mixed', 'above e3 below e2 e1', { '7.0': 'above', '9.0': 'above e3 below e2 e1' }],
  ] as const)('%s: %s', async (kind, order, byVersion) => {
    const vm = lineOf(kind);
    const names = order.split(' ');
    const going = since<string>(byVersion).split(' ').filter(Boolean);
    const dry = await kvmsnap(['--dry-run', 'delete', 'line', ...names]);
    const isAll = going.length === names.length;
    expect([dry.code, dry.stderr.includes('depends on')]).toEqual([isAll ? 0 : 5, false]);
    // the same word at the same snapshot
    const verdict = /^error: (cannot delete (\w+) of line: .*)$/m.exec(dry.stderr);
    expect(verdict?.[2]).toBe(names.filter((name) => !going.includes(name))[0]);
    const real = await kvmsnap(['delete', 'line', ...names]);
    if (verdict) expect(real.stderr).toContain(verdict[1]);
    else expect(real.code).toBe(0);
    expect(going.filter((name) => snapshotNames(vm).includes(name))).toEqual([]);
  });

  test('but for the room, which each merge takes from the next', async () => {
    if (since({ '7.0': true, '9.0': false })) return;
    const vm = defineVm({ name: 'wide', disks: [{ size: '64T' }], boot: 'idle' });
    start(vm);
    for (const name of ['e1', 'e2']) take(vm, name, '--disk-only');
    const { stderr } = await succeed('--dry-run', 'delete', 'wide', 'e1', 'e2');
    expect(stderr).toContain(
      'note: whether e2 of wide can be merged is only known when the earlier deletions have freed space',
    );
  });
});

describe('an external snapshot is merged, and its overlay goes', () => {
  test('of a VM that is off: in the middle, the newest, the first', async () => {
    const vm = layer(twoDisks('off'), 'e1', 'e2', 'e3');
    if (await refusedHere(vm, 'e2')) {
      await succeed('delete', 'off', 'e2', '--metadata');
      expect([snapshotNames(vm), chain(vm)]).toEqual([
        ['e1', 'e3'],
        ['e3', 'e2', 'e1', 'qcow2'],
      ]);
      expect(steps(vm)).toEqual([0, 1, 2, 3]);
      return;
    }
    if (since({ '9.0': true, '11.3': false })) {
      const before = scene(vm);
      const { message, findings } = await failure(5, 'delete', 'off', 'e2');
      expect(message).toContain('finds it only while the VM runs');
      expect(deleteRaw(vm, 'e2').code).toBe(1);
      expect(scene(vm)).toEqual(before);
      for (const line of findings[0]?.commands ?? []) pasteOk(line);
    } else await succeed('delete', 'off', 'e2');
    expect([chain(vm), chain(vm, 1)]).toEqual([
      ['e3', 'e1', 'qcow2'],
      ['e3', 'e1', 'qcow2'],
    ]);
    expect([snapshotNames(vm), currentSnapshot(vm)]).toEqual([['e1', 'e3'], 'e3']);
    expect(await deletedOf('off', 'e3', 'e1')).toMatchObject({
      outcome: 'done',
      deleted: ['e3', 'e1'],
      leftovers: [],
    });
    expect([chain(vm), files(vm)]).toEqual([['qcow2'], ['vda.qcow2', 'vdb.qcow2']]);
    expect([state(vm), steps(vm)]).toEqual(['shut off', [0, 1, 2, 3]]);
  });

  test('of a running one, with its memory, whose file does not stay (hazard 23)', async () => {
    const vm = twoDisks('mem', { boot: 'counter' });
    start(vm);
    const [first, second] = [beside(vm, 'mem1'), beside(vm, 'mem2')];
    take(vm, 'm1', '--memspec', first);
    take(vm, 'm2', '--memspec', second);
    const pid = qemuPid(vm);
    if (await refusedHere(vm, 'm1')) {
      await succeed('delete', 'mem', 'm1', '--metadata', '--leftovers');
      expect([existsSync(first), existsSync(second), chain(vm)]).toEqual([
        false,
        true,
        ['m2', 'm1', 'qcow2'],
      ]);
      return;
    }
    const leaves = since({ '9.0': true, '11.3': false });
    // what another VM needs stays, whoever asks
    defineVm({ name: 'other', disks: [{ source: first, format: 'raw' }] });
    const { leftovers } = await deletedOf('mem', 'm1', '--leftovers');
    expect(leftovers.map(({ path, removed }) => ({ path, removed }))).toEqual(
      leaves ? [{ path: first, removed: false }] : [],
    );
    expect([existsSync(first), chain(vm)]).toEqual([leaves, ['m2', 'qcow2']]);
    const { stderr } = await succeed('delete', 'mem', 'm2', '--leftovers');
    expect(stderr.includes(`removed the unused file that libvirt left behind: ${second}`)).toBe(leaves);
    expect([existsSync(second), chain(vm), qemuPid(vm)]).toEqual([false, ['qcow2'], pid]);
    expect(state(vm)).toBe('running');
  });

  test('interrupted: the truth is told at its end', async () => {
    if (since({ '7.0': true, '9.0': false })) return;
    const vm = twoDisks('held', { boot: 'counter' });
    start(vm);
    take(vm, 'e1', '--disk-only');
    stopQemu(vm);
    const run = spawnKvmsnap(['delete', 'held', 'e1']);
    const control = () => virsh('domcontrol', '--domain', vm.uuid);
    await waitFor(() => /^(background job|occupied)/.test(control()), { what: 'the job of the delete' });
    run.kill('SIGINT');
    await waitFor(() => run.stderr !== '', { what: 'a word of it' });
    continueQemu(vm);
    const { code, stdout } = await run.done;
    expect([code, stdout]).toEqual([130, expect.stringMatching(/^held +e1 +deleted$/m)]);
    expect([snapshotNames(vm), chain(vm)]).toEqual([[], ['qcow2']]);
    expect(state(vm)).toBe('running');
  });
});

describe('what libvirt would take with it', () => {
  test('the internal snapshots in the overlay: virsh loses them, kvmsnap refuses (hazard 32)', async () => {
    const [raw, vm] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = layered(name, 'e1');
      take(made, 'i2');
      return made;
    }) as [Vm, Vm];
    if (await refusedHere(vm, 'e1')) return;
    expect(deleteRaw(raw, 'e1').code).toBe(0);
    expect([snapshotNames(raw), activeImages(raw).map((path) => imageInfo(path).snapshots)]).toEqual([
      ['i2'],
      [undefined],
    ]);

    const before = scene(vm);
    const { message, command } = await failure(5, 'delete', 'by-kvmsnap', 'e1');
    expect(message).toContain('contains the internal snapshot i2, which libvirt would remove');
    expect(scene(vm)).toEqual(before);
    pasteOk(command);
    await succeed('delete', 'by-kvmsnap', 'e1');
    expect([chain(vm), steps(vm)]).toEqual([['qcow2'], [0, 1]]);
  });

  test('a file that the VM lies on: virsh breaks the VM, kvmsnap refuses (hazard 33)', async () => {
    const [raw, vm] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = layered(name, 'e1', 'e2');
      virsh('snapshot-current', '--domain', made.uuid, '--snapshotname', 'e1');
      return made;
    }) as [Vm, Vm];
    if (await refusedHere(vm, 'e2')) return;
    const breaks = since({ '9.0': false, '11.3': true });
    expect(deleteRaw(raw, 'e2').code).toBe(0);
    expect(existsSync(beside(raw, 'e1'))).toBe(!breaks);
    if (!breaks) {
      await succeed('delete', 'by-kvmsnap', 'e2');
      expect([chain(vm), steps(vm)]).toEqual([
        ['e1', 'qcow2'],
        [0, 1, 2],
      ]);
      return;
    }
    const before = scene(vm);
    const { message, command } = await failure(5, 'delete', 'by-kvmsnap', 'e2');
    expect(message).toContain(
      `libvirt would remove ${beside(vm, 'e1')} with e2, but disk vda of the VM needs it`,
    );
    expect(scene(vm)).toEqual(before);
    pasteOk(command);
    expect([snapshotNames(vm), chain(vm), steps(vm)]).toEqual([['e1'], ['e2', 'e1', 'qcow2'], [0, 1, 2]]);
  });

  test('a managed save: virsh makes it useless, kvmsnap refuses (hazard 35)', async () => {
    const [raw, vm] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = twoDisks(name, { boot: 'counter' });
      start(made);
      take(made, 'e1', '--disk-only');
      virsh('managedsave', made.uuid);
      return made;
    }) as [Vm, Vm];
    if (await refusedHere(vm, 'e1')) return;
    expect(deleteRaw(raw, 'e1').code).toBe(0);
    expect(tryVirsh('start', '--domain', raw.uuid).stderr).toMatch(/Cannot access storage file '.*\.e1'/);

    const { message, command } = await failure(5, 'delete', 'by-kvmsnap', 'e1');
    expect(message).toContain('managed save');
    expect(chain(vm)).toEqual(['e1', 'qcow2']);
    pasteOk(command);
    await succeed('delete', 'by-kvmsnap', 'e1');
    expect([state(vm), chain(vm)]).toEqual(['running', ['qcow2']]);
  });
});

describe('what libvirt refuses is foretold, with the way round', () => {
  test('branches (libvirtd 11.3 crashes over one: hazard 34)', async () => {
    if (since({ '7.0': true, '9.9': false })) return; // no way to come to branches
    const vm = layered('branches', 'e1', 'e2', 'e3');
    revertRaw(vm, 'e2');
    const before = scene(vm);
    const current = await failure(5, 'delete', 'branches', 'e2');
    expect(current.message).toContain('is external, current, and has children');
    expect(current.command).toBe('kvmsnap delete branches e3');
    expect(deleteRaw(vm, 'e2').code).toBe(1);
    if (since({ '9.9': true, '12.8': false })) {
      const crash = await failure(5, 'delete', 'branches', 'e1');
      expect([crash.message, crash.command]).toEqual([
        expect.stringContaining('e3 is on another branch below e1 than the VM'),
        'kvmsnap delete branches e3',
      ]);
    }
    expect(scene(vm)).toEqual(before);
    await succeed('delete', 'branches', 'e3', 'e1');
    expect([snapshotNames(vm), steps(vm)]).toEqual([['e2'], [0, 1]]);

    take(vm, 'e4', '--disk-only');
    revertRaw(vm, 'e2');
    take(vm, 'e5', '--disk-only');
    const several = await failure(5, 'delete', 'branches', 'e2');
    expect(several.message).toContain('several children (e4, e5)');
    expect(deleteRaw(vm, 'e2').code).toBe(1);
    await succeed('delete', 'branches', 'e4', 'e2', 'e5');
    expect([snapshotNames(vm), chain(vm), steps(vm)]).toEqual([[], ['qcow2'], [0, 1]]);
  });

  test('libvirtd 11.3 really does crash (hazard 34)', async () => {
    if (since({ '7.0': true, '11.3': false, '12.8': true })) return;
    const vm = layered('crash', 'e1', 'e2', 'e3');
    revertRaw(vm, 'e2');
    expect(deleteRaw(vm, 'e1').code).toBe(1);
    expect(libvirtdPid()).toBeUndefined();
    await repairLibvirtd();
  });

  test('internal and external ones mixed', async () => {
    const vm = defineVm({ name: 'mixed', disks: [{ size: '16M' }] });
    step(vm, 0);
    take(vm, 'i1');
    take(vm, 'e2', '--disk-only');
    step(vm, 1);
    expect(await failure(5, 'delete', 'mixed', 'i1', '--children', '--yes')).toMatchObject({
      command: since({
        '7.0': 'kvmsnap delete --metadata mixed e2',
        '9.0': 'kvmsnap delete mixed i1 e2',
      }),
    });
    start(vm);
    expect((await failure(5, 'delete', 'mixed', 'i1')).hint).toBe('delete it while the VM is off');
    const raw = deleteRaw(defineMixed(), 'i1');
    expect(raw.code).toBe(since({ '7.0': 0, '9.0': 1 }));
    destroy(vm);
    if (await refusedHere(vm, 'e2')) return;
    const { message, command } = await failure(5, 'delete', 'mixed', 'e2');
    expect(message).toContain('on top of the internal snapshot i1');
    expect(deleteRaw(vm, 'e2').code).toBe(1);
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([['e2', 'i1'], [['i1']]]);
    pasteOk(command);
    await succeed('delete', 'mixed', 'e2');
    expect([chain(vm), tagNames(vm), steps(vm)]).toEqual([['qcow2'], [[]], [0, 1]]);
  });

  test('over several internal ones: create says so, and delete lists all that have to go, in an order that works', async () => {
    const vm = defineVm({ name: 'over', disks: [{ size: '16M' }, { size: '16M' }] });
    for (const name of ['i1', 'i2', 'i3']) take(vm, name);
    const warned =
      /internal snapshots \(i1, i2, i3\): libvirt can delete the new external snapshot only after/;
    const { stderr } = await succeed('create-as', 'over', 'e4', '--disk-only', '--force');
    expect(warned.test(stderr)).toBe(since({ '7.0': false, '9.0': true }));
    if (await refusedHere(vm, 'e4')) return;
    expect(deleteRaw(vm, 'e4').code).toBe(1);
    const { message, findings } = await failure(5, 'delete', 'over', 'e4');
    expect(message).toContain('on top of the internal snapshots i3, i2, i1');
    const commands = findings.flatMap((finding) => finding.commands);
    expect(commands).toEqual(['i3', 'i2', 'i1'].map((name) => `kvmsnap delete over ${name}`));
    for (const command of commands) pasteOk(command);
    await succeed('delete', 'over', 'e4');
    expect([snapshotNames(vm), chain(vm)]).toEqual([[], ['qcow2']]);
  });

  /** Running on an overlay over an internal snapshot. */
  function defineMixed(): Vm {
    const vm = defineVm({ name: 'raw', disks: [{ size: '16M' }] });
    take(vm, 'i1');
    take(vm, 'e2', '--disk-only');
    start(vm);
    return vm;
  }

  test.runIf(isSystemLab)(
    'a merge that does not fit (root mounts the disk): virsh begins it, and the disk is full',
    async () => {
      const crowded = (name: string) => {
        const source = join(smallFilesystem(8), 'disk.qcow2');
        tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, '64M']);
        const vm = defineVm({ name, disks: [{ source }] });
        const overlay = join(mkdtempSync(join(scratch, 'roomy-')), 'overlay');
        take(vm, 'e1', '--disk-only', '--diskspec', `vda,snapshot=external,file=${overlay}`);
        writePattern(overlay, 0x22, 0, 12 * STEP);
        return vm;
      };
      const vm = crowded('crowded');
      if (await refusedHere(vm, 'e1')) return;
      const twin = crowded('twin');
      expect(deleteRaw(twin, 'e1').code).toBe(1);
      expect(freeBytesAt(pathOf(twin))).toBeLessThan(STEP);

      const before = freeBytesAt(pathOf(vm));
      const refusal = await failure(5, 'delete', 'crowded', 'e1');
      expect(refusal.message).toMatch(/grows by 1\d MiB, but its file system has only 8 MiB free/);
      expect([freeBytesAt(pathOf(vm)), snapshotNames(vm)]).toEqual([before, ['e1']]);
      tool('mount', ['-n', '-o', 'remount,size=32M', dirname(pathOf(vm))]);
      await succeed('delete', 'crowded', 'e1');
      expect([snapshotNames(vm), hasPattern(pathOf(vm), 0x22, 0, 12 * STEP)]).toEqual([[], true]);
    },
  );

  test('a missing overlay', async () => {
    const vm = layered('missing', 'e1');
    tool('mv', [beside(vm, 'e1'), beside(vm, 'away')]);
    expect(await fail(5, 'delete', 'missing', 'e1')).toContain(`${beside(vm, 'e1')} is missing`);
    await succeed('delete', 'missing', 'e1', '--metadata');
    expect(snapshotNames(vm)).toEqual([]);
  });
});
