import { existsSync, mkdtempSync, readdirSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { libvirtdPid, mendLibvirtd } from '../lab/daemon.ts';
import { hasPattern, imageInfo, writePattern } from '../lab/disk.ts';
import { isSystemLab, scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import {
  cleanUp,
  continueQemu,
  defineMachine,
  destroy,
  type Machine,
  pathOf,
  qemuPid,
  start,
  state,
  stopQemu,
} from '../lab/machine.ts';
import { smallFilesystem } from '../lab/mount.ts';
import { currentSnapshot, snapshotNames } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { pasteOk, writableImages } from '../lab/evidence.ts';
import { deletedOf, fail, failure, succeed, tagNames, take, twoDisks } from '../lab/scene.ts';

afterEach(cleanUp);

const STEP = 1024 * 1024;

/** Writes the nth step's byte at a place of its own, into what the disks of a machine that is off lie on now. */
function step(machine: Machine, n: number): void {
  for (const path of activeImages(machine)) writePattern(path, 0x10 + n, n * STEP, 64 * 1024);
}

const activeImages = (machine: Machine): string[] => writableImages(machine);

/** Which of the first four steps all disks hold. */
function steps(machine: Machine): number[] {
  const held = activeImages(machine).map(stepsIn);
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
function chain(machine: Machine, n = 0): string[] {
  const links: string[] = [];
  for (let path: string | undefined = activeImages(machine)[n]; path; ) {
    links.push(path.slice(path.lastIndexOf('.') + 1));
    path = imageInfo(path)['backing-filename'];
  }
  return links;
}

/** The files beside the first disk. */
const files = (machine: Machine): string[] =>
  readdirSync(dirname(pathOf(machine))).filter((name) => name !== 'machine.xml');

const beside = (machine: Machine, ending: string): string => pathOf(machine).replace(/qcow2$/, ending);

/** Off, with the external snapshots of these names, and a step written before and after each. */
function layered(name: string, ...snapshots: string[]): Machine {
  return layer(defineMachine({ name, disks: [{ size: '16M' }] }), ...snapshots);
}

function layer(machine: Machine, ...snapshots: string[]): Machine {
  step(machine, 0);
  for (const [n, snapshot] of snapshots.entries()) {
    take(machine, snapshot, '--disk-only');
    step(machine, n + 1);
  }
  return machine;
}

function freeBytesAt(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

const deleteRaw = (machine: Machine, name: string) =>
  tryVirsh('snapshot-delete', '--domain', machine.uuid, '--snapshotname', name);

const revertRaw = (machine: Machine, name: string) =>
  virsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', name);

/** All that a refusal must leave as it was. */
const scene = (machine: Machine) => ({
  state: state(machine),
  snapshots: snapshotNames(machine),
  current: currentSnapshot(machine),
  chain: chain(machine),
  files: files(machine),
  steps: steps(machine),
});

/** What this libvirt cannot delete at all is refused with what helps. */
async function refusedHere(machine: Machine, name: string): Promise<boolean> {
  if (since({ '7.0': false, '9.0': true })) return false;
  const before = scene(machine);
  const { message, command } = await failure(5, 'delete', machine.name, name);
  expect(message).toContain('this libvirtd (before 9.0) cannot delete external snapshots');
  expect(command).toBe(`kvmsnap delete --metadata ${machine.name} ${name}`);
  expect(deleteRaw(machine, name).stderr).toContain('external disk snapshots not supported yet');
  expect(scene(machine)).toEqual(before);
  return true;
}

describe('a dry run of several is the verdict of the real one', () => {
  /** e1, e2, e3 one over the other; of `mixed` an internal one below them, and one in the last overlay. */
  function lineOf(kind: 'off' | 'running' | 'mixed'): Machine {
    const machine = defineMachine({ name: 'line', disks: [{ size: '16M' }], boot: 'idle' });
    if (kind === 'running') start(machine);
    if (kind === 'mixed') take(machine, 'below');
    for (const name of ['e1', 'e2', 'e3']) take(machine, name, '--disk-only');
    if (kind === 'mixed') take(machine, 'above');
    return machine;
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
    const machine = lineOf(kind);
    const names = order.split(' ');
    const going = since<string>(byVersion).split(' ').filter(Boolean);
    const dry = await kvmsnap(['--dry-run', 'delete', 'line', ...names]);
    const isAll = going.length === names.length;
    expect([dry.code, dry.stderr.includes('shows only')]).toEqual([isAll ? 0 : 5, false]);
    // the same word at the same snapshot
    const verdict = /^error: (cannot delete '(\w+)' of 'line': .*)$/m.exec(dry.stderr);
    expect(verdict?.[2]).toBe(names.filter((name) => !going.includes(name))[0]);
    const real = await kvmsnap(['delete', 'line', ...names]);
    if (verdict) expect(real.stderr).toContain(verdict[1]);
    else expect(real.code).toBe(0);
    expect(going.filter((name) => snapshotNames(machine).includes(name))).toEqual([]);
  });

  test('but for the room, which each merge takes from the next', async () => {
    if (since({ '7.0': true, '9.0': false })) return;
    const machine = defineMachine({ name: 'wide', disks: [{ size: '64T' }], boot: 'idle' });
    start(machine);
    for (const name of ['e1', 'e2']) take(machine, name, '--disk-only');
    const { stderr } = await succeed('--dry-run', 'delete', 'wide', 'e1', 'e2');
    expect(stderr).toContain("note: whether 'e2' of 'wide' finds room for its merge shows only when");
  });
});

describe('an external snapshot is merged, and its overlay goes', () => {
  test('of a machine that is off: in the middle, the newest, the first', async () => {
    const machine = layer(twoDisks('off'), 'e1', 'e2', 'e3');
    if (await refusedHere(machine, 'e2')) {
      await succeed('delete', 'off', 'e2', '--metadata');
      expect([snapshotNames(machine), chain(machine)]).toEqual([
        ['e1', 'e3'],
        ['e3', 'e2', 'e1', 'qcow2'],
      ]);
      expect(steps(machine)).toEqual([0, 1, 2, 3]);
      return;
    }
    if (since({ '9.0': true, '11.3': false })) {
      const before = scene(machine);
      const { message, command } = await failure(5, 'delete', 'off', 'e2');
      expect(message).toContain('finds it only while the machine runs');
      expect(deleteRaw(machine, 'e2').code).toBe(1);
      expect(scene(machine)).toEqual(before);
      pasteOk(command);
    } else await succeed('delete', 'off', 'e2');
    expect([chain(machine), chain(machine, 1)]).toEqual([
      ['e3', 'e1', 'qcow2'],
      ['e3', 'e1', 'qcow2'],
    ]);
    expect([snapshotNames(machine), currentSnapshot(machine)]).toEqual([['e1', 'e3'], 'e3']);
    expect(await deletedOf('off', 'e3', 'e1')).toMatchObject({
      outcome: 'done',
      deleted: ['e3', 'e1'],
      leftovers: [],
    });
    expect([chain(machine), files(machine)]).toEqual([['qcow2'], ['vda.qcow2', 'vdb.qcow2']]);
    expect([state(machine), steps(machine)]).toEqual(['shut off', [0, 1, 2, 3]]);
  });

  test('of a running one, with its memory, whose file does not stay (hazard 23)', async () => {
    const machine = twoDisks('mem', { boot: 'counter' });
    start(machine);
    const [first, second] = [beside(machine, 'mem1'), beside(machine, 'mem2')];
    take(machine, 'm1', '--memspec', first);
    take(machine, 'm2', '--memspec', second);
    const pid = qemuPid(machine);
    if (await refusedHere(machine, 'm1')) {
      await succeed('delete', 'mem', 'm1', '--metadata', '--leftovers');
      expect([existsSync(first), existsSync(second), chain(machine)]).toEqual([
        false,
        true,
        ['m2', 'm1', 'qcow2'],
      ]);
      return;
    }
    const leaves = since({ '9.0': true, '11.3': false });
    // what another machine needs stays, whoever asks
    defineMachine({ name: 'other', disks: [{ source: first, format: 'raw' }] });
    const { leftovers } = await deletedOf('mem', 'm1', '--leftovers');
    expect(leftovers.map(({ path, removed }) => ({ path, removed }))).toEqual(
      leaves ? [{ path: first, removed: false }] : [],
    );
    expect([existsSync(first), chain(machine)]).toEqual([leaves, ['m2', 'qcow2']]);
    const { stderr } = await succeed('delete', 'mem', 'm2', '--leftovers');
    expect(stderr.includes(`removed what libvirt had left behind: ${second}`)).toBe(leaves);
    expect([existsSync(second), chain(machine), qemuPid(machine)]).toEqual([false, ['qcow2'], pid]);
    expect(state(machine)).toBe('running');
  });

  test('interrupted: the truth is told at its end', async () => {
    if (since({ '7.0': true, '9.0': false })) return;
    const machine = twoDisks('held', { boot: 'counter' });
    start(machine);
    take(machine, 'e1', '--disk-only');
    stopQemu(machine);
    const run = spawnKvmsnap(['delete', 'held', 'e1']);
    const control = () => virsh('domcontrol', '--domain', machine.uuid);
    await waitFor(() => /^(background job|occupied)/.test(control()), { what: 'the job of the delete' });
    run.kill('SIGINT');
    await waitFor(() => run.stderr !== '', { what: 'a word of it' });
    continueQemu(machine);
    const { code, stdout } = await run.done;
    expect([code, stdout]).toEqual([130, expect.stringMatching(/^held +e1 +deleted$/m)]);
    expect([snapshotNames(machine), chain(machine)]).toEqual([[], ['qcow2']]);
    expect(state(machine)).toBe('running');
  });
});

describe('what libvirt would take with it', () => {
  test('the internal snapshots in the overlay: virsh loses them, kvmsnap refuses (hazard 32)', async () => {
    const [raw, machine] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = layered(name, 'e1');
      take(made, 'i2');
      return made;
    }) as [Machine, Machine];
    if (await refusedHere(machine, 'e1')) return;
    expect(deleteRaw(raw, 'e1').code).toBe(0);
    expect([snapshotNames(raw), activeImages(raw).map((path) => imageInfo(path).snapshots)]).toEqual([
      ['i2'],
      [undefined],
    ]);

    const before = scene(machine);
    const { message, command } = await failure(5, 'delete', 'by-kvmsnap', 'e1');
    expect(message).toContain("holds the internal snapshot 'i2', and libvirt would remove it");
    expect(scene(machine)).toEqual(before);
    pasteOk(command);
    await succeed('delete', 'by-kvmsnap', 'e1');
    expect([chain(machine), steps(machine)]).toEqual([['qcow2'], [0, 1]]);
  });

  test('a file that the machine lies on: virsh breaks the machine, kvmsnap refuses (hazard 33)', async () => {
    const [raw, machine] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = layered(name, 'e1', 'e2');
      virsh('snapshot-current', '--domain', made.uuid, '--snapshotname', 'e1');
      return made;
    }) as [Machine, Machine];
    if (await refusedHere(machine, 'e2')) return;
    const breaks = since({ '9.0': false, '11.3': true });
    expect(deleteRaw(raw, 'e2').code).toBe(0);
    expect(existsSync(beside(raw, 'e1'))).toBe(!breaks);
    if (!breaks) {
      await succeed('delete', 'by-kvmsnap', 'e2');
      expect([chain(machine), steps(machine)]).toEqual([
        ['e1', 'qcow2'],
        [0, 1, 2],
      ]);
      return;
    }
    const before = scene(machine);
    const { message, command } = await failure(5, 'delete', 'by-kvmsnap', 'e2');
    expect(message).toContain(
      `libvirt would remove ${beside(machine, 'e1')} with 'e2', and disk vda of the machine needs it`,
    );
    expect(scene(machine)).toEqual(before);
    pasteOk(command);
    expect([snapshotNames(machine), chain(machine), steps(machine)]).toEqual([
      ['e1'],
      ['e2', 'e1', 'qcow2'],
      [0, 1, 2],
    ]);
  });

  test('a managed save: virsh makes it useless, kvmsnap refuses (hazard 35)', async () => {
    const [raw, machine] = ['by-virsh', 'by-kvmsnap'].map((name) => {
      const made = twoDisks(name, { boot: 'counter' });
      start(made);
      take(made, 'e1', '--disk-only');
      virsh('managedsave', made.uuid);
      return made;
    }) as [Machine, Machine];
    if (await refusedHere(machine, 'e1')) return;
    expect(deleteRaw(raw, 'e1').code).toBe(0);
    expect(tryVirsh('start', '--domain', raw.uuid).stderr).toMatch(/Cannot access storage file '.*\.e1'/);

    const { message, command } = await failure(5, 'delete', 'by-kvmsnap', 'e1');
    expect(message).toContain('managed save');
    expect(chain(machine)).toEqual(['e1', 'qcow2']);
    pasteOk(command);
    await succeed('delete', 'by-kvmsnap', 'e1');
    expect([state(machine), chain(machine)]).toEqual(['running', ['qcow2']]);
  });
});

describe('what libvirt refuses is foretold, with the way round', () => {
  test('branches (libvirtd 11.3 crashes over one: hazard 34)', async () => {
    if (since({ '7.0': true, '9.9': false })) return; // no way to come to branches
    const machine = layered('branches', 'e1', 'e2', 'e3');
    revertRaw(machine, 'e2');
    const before = scene(machine);
    const current = await failure(5, 'delete', 'branches', 'e2');
    expect(current.message).toContain('the current snapshot, and has children');
    expect(current.command).toBe('kvmsnap delete branches e3');
    expect(deleteRaw(machine, 'e2').code).toBe(1);
    if (since({ '9.9': true, '12.8': false })) {
      const crash = await failure(5, 'delete', 'branches', 'e1');
      expect([crash.message, crash.command]).toEqual([
        expect.stringContaining("'e3' below 'e1' is beside the machine's own branch"),
        'kvmsnap delete branches e3',
      ]);
    }
    expect(scene(machine)).toEqual(before);
    await succeed('delete', 'branches', 'e3', 'e1');
    expect([snapshotNames(machine), steps(machine)]).toEqual([['e2'], [0, 1]]);

    take(machine, 'e4', '--disk-only');
    revertRaw(machine, 'e2');
    take(machine, 'e5', '--disk-only');
    const several = await failure(5, 'delete', 'branches', 'e2');
    expect(several.message).toContain("several children ('e4', 'e5')");
    expect(deleteRaw(machine, 'e2').code).toBe(1);
    await succeed('delete', 'branches', 'e4', 'e2', 'e5');
    expect([snapshotNames(machine), chain(machine), steps(machine)]).toEqual([[], ['qcow2'], [0, 1]]);
  });

  test('libvirtd 11.3 really does crash (hazard 34)', async () => {
    if (since({ '7.0': true, '11.3': false, '12.8': true })) return;
    const machine = layered('crash', 'e1', 'e2', 'e3');
    revertRaw(machine, 'e2');
    expect(deleteRaw(machine, 'e1').code).toBe(1);
    expect(libvirtdPid()).toBeUndefined();
    await mendLibvirtd();
  });

  test('internal and external ones mixed', async () => {
    const machine = defineMachine({ name: 'mixed', disks: [{ size: '16M' }] });
    step(machine, 0);
    take(machine, 'i1');
    take(machine, 'e2', '--disk-only');
    step(machine, 1);
    expect(await failure(5, 'delete', 'mixed', 'i1', '--children', '--yes')).toMatchObject({
      command: since({
        '7.0': 'kvmsnap delete --metadata mixed e2',
        '9.0': 'kvmsnap delete mixed i1 e2',
      }),
    });
    start(machine);
    expect((await failure(5, 'delete', 'mixed', 'i1')).hint).toBe('delete it while the machine is off');
    const raw = deleteRaw(defineMixed(), 'i1');
    expect(raw.code).toBe(since({ '7.0': 0, '9.0': 1 }));
    destroy(machine);
    if (await refusedHere(machine, 'e2')) return;
    const { message, command } = await failure(5, 'delete', 'mixed', 'e2');
    expect(message).toContain("on top of the internal snapshot 'i1'");
    expect(deleteRaw(machine, 'e2').code).toBe(1);
    expect([snapshotNames(machine), tagNames(machine)]).toEqual([['e2', 'i1'], [['i1']]]);
    pasteOk(command);
    await succeed('delete', 'mixed', 'e2');
    expect([chain(machine), tagNames(machine), steps(machine)]).toEqual([['qcow2'], [[]], [0, 1]]);
  });

  test('over several internal ones: create says so, and delete lists all that have to go, in an order that works', async () => {
    const machine = defineMachine({ name: 'over', disks: [{ size: '16M' }, { size: '16M' }] });
    for (const name of ['i1', 'i2', 'i3']) take(machine, name);
    const warned = /internal snapshots \('i1', 'i2', 'i3'\): libvirt deletes the new external one only after/;
    const { stderr } = await succeed('create-as', 'over', 'e4', '--disk-only', '--force');
    expect(warned.test(stderr)).toBe(since({ '7.0': false, '9.0': true }));
    if (await refusedHere(machine, 'e4')) return;
    expect(deleteRaw(machine, 'e4').code).toBe(1);
    const { message, findings } = await failure(5, 'delete', 'over', 'e4');
    expect(message).toContain("on top of the internal snapshots 'i3', 'i2', 'i1'");
    const commands = findings.flatMap((finding) => finding.commands);
    expect(commands).toEqual(['i3', 'i2', 'i1'].map((name) => `kvmsnap delete over ${name}`));
    for (const command of commands) pasteOk(command);
    await succeed('delete', 'over', 'e4');
    expect([snapshotNames(machine), chain(machine)]).toEqual([[], ['qcow2']]);
  });

  /** Running on an overlay over an internal snapshot. */
  function defineMixed(): Machine {
    const machine = defineMachine({ name: 'raw', disks: [{ size: '16M' }] });
    take(machine, 'i1');
    take(machine, 'e2', '--disk-only');
    start(machine);
    return machine;
  }

  test.runIf(isSystemLab)(
    'a merge that does not fit (root mounts the disk): virsh begins it, and the disk is full',
    async () => {
      const crowded = (name: string) => {
        const source = join(smallFilesystem(8), 'disk.qcow2');
        tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, '64M']);
        const machine = defineMachine({ name, disks: [{ source }] });
        const overlay = join(mkdtempSync(join(scratch, 'roomy-')), 'overlay');
        take(machine, 'e1', '--disk-only', '--diskspec', `vda,snapshot=external,file=${overlay}`);
        writePattern(overlay, 0x22, 0, 12 * STEP);
        return machine;
      };
      const machine = crowded('crowded');
      if (await refusedHere(machine, 'e1')) return;
      const twin = crowded('twin');
      expect(deleteRaw(twin, 'e1').code).toBe(1);
      expect(freeBytesAt(pathOf(twin))).toBeLessThan(STEP);

      const before = freeBytesAt(pathOf(machine));
      const refusal = await failure(5, 'delete', 'crowded', 'e1');
      expect(refusal.message).toMatch(/grows by 1\d MiB, and its file system has 8 MiB free/);
      expect([freeBytesAt(pathOf(machine)), snapshotNames(machine)]).toEqual([before, ['e1']]);
      tool('mount', ['-n', '-o', 'remount,size=32M', dirname(pathOf(machine))]);
      await succeed('delete', 'crowded', 'e1');
      expect([snapshotNames(machine), hasPattern(pathOf(machine), 0x22, 0, 12 * STEP)]).toEqual([[], true]);
    },
  );

  test('a missing overlay', async () => {
    const machine = layered('missing', 'e1');
    tool('mv', [beside(machine, 'e1'), beside(machine, 'away')]);
    expect(await fail(5, 'delete', 'missing', 'e1')).toContain(`${beside(machine, 'e1')} is missing`);
    await succeed('delete', 'missing', 'e1', '--metadata');
    expect(snapshotNames(machine)).toEqual([]);
  });
});
