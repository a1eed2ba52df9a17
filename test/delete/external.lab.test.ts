import { existsSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { virsh, waitFor } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { deletedOf, failure, succeed, take, twoDisks } from '../scene/steps.ts';
import { cleanUp, continueQemu, defineVm, qemuPid, start, state, stopQemu, type Vm } from '../scene/vm.ts';
import { beside, chain, deleteRaw, files, layer, refusedHere, scene, steps } from './layered.ts';

afterEach(cleanUp);

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

  test.each(
    share(3, [
      ['off', 'e3 e2 e1', { '7.0': '', '9.0': 'e3 e2 e1' }],
      ['off', 'e3 e1 e2', { '7.0': '', '9.0': 'e3', '11.3': 'e3 e1 e2' }],
      ['off', 'e1 e3 e2', { '7.0': '', '11.3': 'e1 e3 e2' }],
      ['running', 'e1 e3 e2', { '7.0': '', '9.0': 'e1 e3 e2' }],
      ['running', 'e2 e1 e3', { '7.0': '', '9.0': 'e2 e1 e3' }],
      ['mixed', 'above e3 e2 e1', { '7.0': 'above', '9.0': 'above e3 e2' }],
      ['mixed', 'above e3 below e2 e1', { '7.0': 'above', '9.0': 'above e3 below e2 e1' }],
    ] as const),
  )('%s: %s', async (kind, order, byVersion) => {
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
