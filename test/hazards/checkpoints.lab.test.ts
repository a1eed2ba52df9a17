// Snapshots beside the checkpoints of an incremental backup: internal ones cannot be reverted to, external ones can.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteAll, pasteOk, refused, tagCounts, writableImages } from '../lab/evidence.ts';
import { tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { byteIn, succeed, writeAsGuest } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, state, stateAndReason, type Vm } from '../scene/vm.ts';
import { hazard, type Outcome } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** The words with which a libvirtd refuses that knows no checkpoints; null where it knows them. */
const NONE = since({ '7.0': /incremental backup is not supported yet/, '9.0': null });
const NO_SUCH: Outcome = {
  virsh: 'does not exist in this version',
  kvmsnap: 'does not exist in this version',
};
const canRevert = since({ '7.0': false, '9.9': true });
const FORCE = canRevert ? [] : ['--force'];

const [THEN, BETWEEN, NOW] = [0x11, 0x22, 0x33];

function make(name: string, ...checkpoints: string[]): Vm {
  const vm = defineVm({ name, disks: [{ size: '4M' }] });
  start(vm);
  writeAsGuest(vm, THEN);
  for (const each of checkpoints) checkpoint(vm, each);
  return vm;
}

const checkpoint = (vm: Vm, name: string) => virsh('checkpoint-create-as', vm.uuid, name);

const checkpoints = (vm: Vm): string[] =>
  virsh('checkpoint-list', '--domain', vm.uuid, '--name').split('\n').filter(Boolean);

const now = (vm: Vm) => byteIn(writableImages(vm)[0] ?? '');

/** Takes an incremental backup, and tells what it holds where the guest writes; null where libvirt cannot take it. */
async function backedUp(vm: Vm, since: string): Promise<number | null> {
  const [xml, target] = ['backup.xml', 'backup.qcow2'].map((file) => join(dirname(pathOf(vm)), file)) as [
    string,
    string,
  ];
  rmSync(target, { force: true });
  writeFileSync(
    xml,
    `<domainbackup><incremental>${since}</incremental><disks><disk name='vda' backup='yes' type='file'><driver type='qcow2'/><target file='${target}'/></disk></disks></domainbackup>`,
  );
  const begun = tryVirsh('backup-begin', '--domain', vm.uuid, '--backupxml', xml);
  if (begun.code !== 0) {
    expect(begun.stderr).toContain('checkpoint inconsistent: missing or broken bitmap');
    return null;
  }
  await waitFor(() => virsh('domjobinfo', '--domain', vm.uuid).includes('None'), { what: 'the backup' });
  return byteIn(target);
}

describe('an internal one', () => {
  hazard(30, 'checkpoints of a VM that is off', async () => {
    if (NONE) {
      expect(() => make('twin', 'monday')).toThrow(NONE);
      return NO_SUCH;
    }
    const [twin, vm] = ['twin', "web 1's"].map((name) => make(name, 'monday', 'a-tuesday')) as [Vm, Vm];
    for (const each of [twin, vm]) destroy(each);
    const raw = tryVirsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
    if (canRevert) {
      expect([raw.code, tagCounts(twin, 's1')]).toEqual([0, [1]]);
      expect(tryVirsh('snapshot-revert', '--domain', twin.uuid, '--snapshotname', 's1').code).toBe(1);
    } else {
      expect(raw.stderr).toContain('cannot perform block operations while checkpoint exists');
      expect([snapshotNames(twin), tagCounts(twin, 's1')]).toEqual([[], [0]]);
    }
    await showRefusal(vm, 2);
    return {
      virsh: canRevert
        ? 'takes one that cannot be reverted to, exit 0'
        : 'fails, exit 1, without saying how to fix it',
      kvmsnap: 'refuses, exit 5, nothing changed; its advice works',
    };
  });

  hazard(30, 'checkpoint of a running VM', async () => {
    if (NONE) {
      expect(() => make('twin', 'monday')).toThrow(NONE);
      return NO_SUCH;
    }
    const [twin, vm] = ['twin', "web 1's"].map((name) => make(name, 'monday')) as [Vm, Vm];
    virsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
    const revert = tryVirsh('snapshot-revert', '--domain', twin.uuid, '--snapshotname', 's1');
    expect(revert.stderr).toContain('Device has active dirty bitmaps');
    expect(stateAndReason(twin)).toBe('shut off (failed)');
    await showRefusal(vm, 1);
    return {
      virsh: 'takes one; reverting to it stops the guest, and its memory is lost, exit 0',
      kvmsnap: 'refuses, exit 5, nothing changed; its advice works',
    };
  });
});

hazard(43, 'dirty bitmap of another tool beside a checkpoint, VM running', async () => {
  if (NONE) {
    expect(() => make('twin', 'monday')).toThrow(NONE);
    return NO_SUCH;
  }
  const [twin, vm] = ['twin', 'web-1'].map((name) => {
    const made = make(name, 'monday');
    destroy(made);
    tool('qemu-img', ['bitmap', '--add', '-f', 'qcow2', pathOf(made), 'other']);
    start(made);
    return made;
  }) as [Vm, Vm];
  virsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
  expect(tryVirsh('snapshot-revert', '--domain', twin.uuid, '--snapshotname', 's1').code).toBe(1);
  expect(stateAndReason(twin)).toBe('shut off (failed)');

  const { words, refusal } = await refusesAll(vm, 'create-as', 'web-1', 's1', '--force');
  expect(refusal.message).toContain('the VM has 1 checkpoint of incremental backups');
  // the checkpoint may go, and then that one is left
  virsh('checkpoint-delete', vm.uuid, 'monday');
  const left = await refusesAll(vm, 'create-as', 'web-1', 's1', '--force');
  expect(left.refusal.message).toContain('contains the dirty bitmap other of a backup tool');
  destroy(vm);
  pasteOk(left.refusal.command);
  start(vm);
  await succeed('create-as', 'web-1', 's1');
  await succeed('revert', 'web-1', 's1');
  expect(state(vm)).toBe('running');
  return {
    virsh: 'takes one; the revert to it stops the guest, and its memory is lost, exit 0',
    kvmsnap: `${words}, with --force too, and when the checkpoint is gone; its advice works`,
  };
});

/** Refused; and where an external one can be reverted to, what is advised keeps the checkpoints. */
async function showRefusal(vm: Vm, count: number): Promise<void> {
  const before = fingerprint(vm);
  const refusal = await refused('create-as', vm.name, 's1', '--force');
  const { message, hint, exitCode } = refusal;
  expect(exitCode).toBe(5);
  expect(message).toMatch(new RegExp(`the VM has ${count} checkpoints? of incremental backups`));
  expect(hint).toContain('the next backup then has to be a full one');
  expect(fingerprint(vm)).toEqual(before);
  pasteAll(refusal);
  if (!canRevert) {
    expect(checkpoints(vm)).toEqual([]);
    await succeed('create-as', vm.name, 's1');
    expect(tagCounts(vm, 's1')).toEqual([1]);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    return;
  }
  expect([checkpoints(vm).length, snapshotNames(vm)]).toEqual([count, ['s1']]);
  writeAsGuest(vm, NOW);
  await succeed('revert', vm.name, 's1', '--running');
  expect([now(vm), state(vm)]).toEqual([THEN, 'running']);
}

describe.skipIf(NONE)('an external one', () => {
  test.each([
    ['of the disks', ['--disk-only']],
    ['with the memory', ['--external']],
  ])('%s is taken and merged, and the backups since each checkpoint go on', async (_, options) => {
    const vm = make('web', 'one');
    await succeed('create-as', 'web', 's1', ...options, ...FORCE);
    writeAsGuest(vm, BETWEEN);
    checkpoint(vm, 'two');
    writeAsGuest(vm, NOW);
    expect([await backedUp(vm, 'one'), await backedUp(vm, 'two')]).toEqual([NOW, NOW]);
    await succeed('delete', 'web', 's1');
    expect([now(vm), checkpoints(vm), snapshotNames(vm)]).toEqual([NOW, ['one', 'two'], []]);
    expect([await backedUp(vm, 'one'), await backedUp(vm, 'two')]).toEqual([NOW, NOW]);
    for (const name of ['one', 'two']) virsh('checkpoint-delete', vm.uuid, name);
  });

  test('is merged with the VM off, too', async () => {
    const vm = make('web', 'one');
    await succeed('create-as', 'web', 's1', '--disk-only', ...FORCE);
    writeAsGuest(vm, NOW);
    destroy(vm);
    await succeed('delete', 'web', 's1');
    expect([now(vm), checkpoints(vm)]).toEqual([NOW, ['one']]);
    start(vm);
    expect(await backedUp(vm, 'one')).toBe(NOW);
  });

  test('is refused while the VM is off, and taken as advised', async () => {
    const vm = make('web', 'one');
    destroy(vm);
    const raw = tryVirsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1', '--disk-only');
    expect(raw.stderr).toMatch(/checkpoint exists/);
    const before = fingerprint(vm);
    const { message, command } = await refused('create-as', 'web', 's1', '--disk-only', '--force');
    expect(message).toContain('libvirt takes external snapshots of such a VM only while it runs');
    expect(fingerprint(vm)).toEqual(before);
    pasteOk(command);
    await succeed('create-as', 'web', 's1', '--disk-only', ...FORCE);
    expect([checkpoints(vm), snapshotNames(vm)]).toEqual([['one'], ['s1']]);
  });

  test.skipIf(!canRevert)(
    'a revert brings the disks back, and ends the chain of backups as it says',
    async () => {
      const vm = make('web', 'one');
      await succeed('create-as', 'web', 's1', '--external');
      writeAsGuest(vm, NOW);
      checkpoint(vm, 'two');
      const { stderr } = await succeed('revert', 'web', 's1');
      expect(stderr).toContain('none of their bitmaps: the next backup then has to be a full one');
      expect([now(vm), state(vm), checkpoints(vm)]).toEqual([THEN, 'running', ['one', 'two']]);
      expect([await backedUp(vm, 'one'), await backedUp(vm, 'two')]).toEqual([null, null]);
      expect(tryVirsh('checkpoint-delete', vm.uuid, 'two').code).toBe(1);
      virsh('checkpoint-delete', vm.uuid, 'two', '--metadata');
      virsh('checkpoint-delete', vm.uuid, 'one');
      checkpoint(vm, 'three');
      expect(checkpoints(vm)).toEqual(['three']);
    },
  );
});

test.skipIf(NONE)(
  'a revert to an internal one that is older than the checkpoints: refused, and its copy holds it',
  async () => {
    const vm = make('web');
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
    writeAsGuest(vm, NOW);
    checkpoint(vm, 'one');
    const before = fingerprint(vm);
    const result = await kvmsnap(['revert', 'web', 's1', '--force', '--json']);
    const { error } = JSON.parse(result.stderr.trim().split('\n').at(-1) ?? '');
    expect([result.code, error.message]).toEqual([
      5,
      expect.stringContaining('a running VM would stop, and its memory would be lost'),
    ]);
    expect(fingerprint(vm)).toEqual(before);
    const [{ commands }] = error.findings;
    pasteOk(commands.join(' && '));
    const copy = `${pathOf(vm)}.s1.copy`;
    expect([existsSync(copy), byteIn(copy), now(vm), checkpoints(vm)]).toEqual([true, THEN, NOW, ['one']]);
  },
);
