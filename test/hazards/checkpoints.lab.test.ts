// Snapshots beside the checkpoints of an incremental backup: internal ones cannot be reverted to, external ones can.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { fingerprint, pasteOk, refused, tagCounts, writableImages } from '../lab/evidence.ts';
import { byteIn, succeed, writeAsGuest } from '../lab/scene.ts';
import { kvmsnap } from '../lab/cli.ts';
import { tryVirsh, virsh, waitFor } from '../lab/lab.ts';
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
import { snapshotNames } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { hazard, type Outcome } from './promise.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** The words with which a libvirtd refuses that knows no checkpoints; null where it knows them. */
const NONE = since({ '7.0': /incremental backup is not supported yet/, '9.0': null });
const NO_SUCH: Outcome = { virsh: 'there is no such thing', kvmsnap: 'there is no such thing' };
const canRevert = since({ '7.0': false, '9.9': true });
const FORCE = canRevert ? [] : ['--force'];

const [THEN, BETWEEN, NOW] = [0x11, 0x22, 0x33];

function make(name: string, ...checkpoints: string[]): Machine {
  const machine = defineMachine({ name, disks: [{ size: '4M' }] });
  start(machine);
  writeAsGuest(machine, THEN);
  for (const each of checkpoints) checkpoint(machine, each);
  return machine;
}

const checkpoint = (machine: Machine, name: string) => virsh('checkpoint-create-as', machine.uuid, name);

const checkpoints = (machine: Machine): string[] =>
  virsh('checkpoint-list', '--domain', machine.uuid, '--name').split('\n').filter(Boolean);

const now = (machine: Machine) => byteIn(writableImages(machine)[0] ?? '');

/** Takes an incremental backup, and tells what it holds where the guest writes; null where libvirt cannot take it. */
async function backedUp(machine: Machine, since: string): Promise<number | null> {
  const [xml, target] = ['backup.xml', 'backup.qcow2'].map((file) =>
    join(dirname(pathOf(machine)), file),
  ) as [string, string];
  rmSync(target, { force: true });
  writeFileSync(
    xml,
    `<domainbackup><incremental>${since}</incremental><disks><disk name='vda' backup='yes' type='file'><driver type='qcow2'/><target file='${target}'/></disk></disks></domainbackup>`,
  );
  const begun = tryVirsh('backup-begin', '--domain', machine.uuid, '--backupxml', xml);
  if (begun.code !== 0) {
    expect(begun.stderr).toContain('checkpoint inconsistent: missing or broken bitmap');
    return null;
  }
  await waitFor(() => virsh('domjobinfo', '--domain', machine.uuid).includes('None'), { what: 'the backup' });
  return byteIn(target);
}

describe('an internal one', () => {
  hazard(30, 'checkpoints of a machine that is off', async () => {
    if (NONE) {
      expect(() => make('twin', 'monday')).toThrow(NONE);
      return NO_SUCH;
    }
    const [twin, machine] = ['twin', "web 1's"].map((name) => make(name, 'monday', 'a-tuesday')) as [
      Machine,
      Machine,
    ];
    for (const each of [twin, machine]) destroy(each);
    const raw = tryVirsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
    if (canRevert) {
      expect([raw.code, tagCounts(twin, 's1')]).toEqual([0, [1]]);
      expect(tryVirsh('snapshot-revert', '--domain', twin.uuid, '--snapshotname', 's1').code).toBe(1);
    } else {
      expect(raw.stderr).toContain('cannot perform block operations while checkpoint exists');
      expect([snapshotNames(twin), tagCounts(twin, 's1')]).toEqual([[], [0]]);
    }
    await showRefusal(machine, 2);
    return {
      virsh: canRevert ? 'takes one that cannot be reverted to, exit 0' : 'fails, exit 1, and names no cure',
      kvmsnap: 'refuses, exit 5, nothing touched; what it advises helps',
    };
  });

  hazard(30, 'checkpoint of a running machine', async () => {
    if (NONE) {
      expect(() => make('twin', 'monday')).toThrow(NONE);
      return NO_SUCH;
    }
    const [twin, machine] = ['twin', "web 1's"].map((name) => make(name, 'monday')) as [Machine, Machine];
    virsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
    const revert = tryVirsh('snapshot-revert', '--domain', twin.uuid, '--snapshotname', 's1');
    expect(revert.stderr).toContain('Device has active dirty bitmaps');
    expect(stateAndReason(twin)).toBe('shut off (failed)');
    await showRefusal(machine, 1);
    return {
      virsh: 'takes one; the revert to it loses the guest, exit 0',
      kvmsnap: 'refuses, exit 5, nothing touched; what it advises helps',
    };
  });
});

/** Refused; and where an external one can be reverted to, what is advised keeps the checkpoints. */
async function showRefusal(machine: Machine, count: number): Promise<void> {
  const before = fingerprint(machine);
  const { message, hint, command, exitCode } = await refused('create-as', machine.name, 's1', '--force');
  expect(exitCode).toBe(5);
  expect(message).toContain(`the VM has ${count} checkpoint(s) of incremental backup`);
  expect(hint).toContain('the next backup then has to be a full one');
  expect(fingerprint(machine)).toEqual(before);
  pasteOk(command);
  if (!canRevert) {
    expect(checkpoints(machine)).toEqual([]);
    await succeed('create-as', machine.name, 's1');
    expect(tagCounts(machine, 's1')).toEqual([1]);
    virsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', 's1');
    return;
  }
  expect([checkpoints(machine).length, snapshotNames(machine)]).toEqual([count, ['s1']]);
  writeAsGuest(machine, NOW);
  await succeed('revert', machine.name, 's1', '--running');
  expect([now(machine), state(machine)]).toEqual([THEN, 'running']);
}

describe.skipIf(NONE)('an external one', () => {
  test.each([
    ['of the disks', ['--disk-only']],
    ['with the memory', ['--external']],
  ])('%s is taken and merged, and the backups since each checkpoint go on', async (_, options) => {
    const machine = make('web', 'one');
    await succeed('create-as', 'web', 's1', ...options, ...FORCE);
    writeAsGuest(machine, BETWEEN);
    checkpoint(machine, 'two');
    writeAsGuest(machine, NOW);
    expect([await backedUp(machine, 'one'), await backedUp(machine, 'two')]).toEqual([NOW, NOW]);
    await succeed('delete', 'web', 's1');
    expect([now(machine), checkpoints(machine), snapshotNames(machine)]).toEqual([NOW, ['one', 'two'], []]);
    expect([await backedUp(machine, 'one'), await backedUp(machine, 'two')]).toEqual([NOW, NOW]);
    for (const name of ['one', 'two']) virsh('checkpoint-delete', machine.uuid, name);
  });

  test('is merged with the VM off, too', async () => {
    const machine = make('web', 'one');
    await succeed('create-as', 'web', 's1', '--disk-only', ...FORCE);
    writeAsGuest(machine, NOW);
    destroy(machine);
    await succeed('delete', 'web', 's1');
    expect([now(machine), checkpoints(machine)]).toEqual([NOW, ['one']]);
    start(machine);
    expect(await backedUp(machine, 'one')).toBe(NOW);
  });

  test('is refused while the VM is off, and taken as advised', async () => {
    const machine = make('web', 'one');
    destroy(machine);
    const raw = tryVirsh('snapshot-create-as', '--domain', machine.uuid, '--name', 's1', '--disk-only');
    expect(raw.stderr).toMatch(/checkpoint exists/);
    const before = fingerprint(machine);
    const { message, command } = await refused('create-as', 'web', 's1', '--disk-only', '--force');
    expect(message).toContain('libvirt takes external snapshots beside them only while the VM runs');
    expect(fingerprint(machine)).toEqual(before);
    pasteOk(command);
    await succeed('create-as', 'web', 's1', '--disk-only', ...FORCE);
    expect([checkpoints(machine), snapshotNames(machine)]).toEqual([['one'], ['s1']]);
  });

  test.skipIf(!canRevert)(
    'a revert brings the disks back, and ends the chain of backups as it says',
    async () => {
      const machine = make('web', 'one');
      await succeed('create-as', 'web', 's1', '--external');
      writeAsGuest(machine, NOW);
      checkpoint(machine, 'two');
      const { stderr } = await succeed('revert', 'web', 's1');
      expect(stderr).toContain('none of their bitmaps: the next backup then has to be a full one');
      expect([now(machine), state(machine), checkpoints(machine)]).toEqual([THEN, 'running', ['one', 'two']]);
      expect([await backedUp(machine, 'one'), await backedUp(machine, 'two')]).toEqual([null, null]);
      expect(tryVirsh('checkpoint-delete', machine.uuid, 'two').code).toBe(1);
      virsh('checkpoint-delete', machine.uuid, 'two', '--metadata');
      virsh('checkpoint-delete', machine.uuid, 'one');
      checkpoint(machine, 'three');
      expect(checkpoints(machine)).toEqual(['three']);
    },
  );
});

test.skipIf(NONE)(
  'a revert to an internal one that is older than the checkpoints: refused, and its copy holds it',
  async () => {
    const machine = make('web');
    virsh('snapshot-create-as', '--domain', machine.uuid, '--name', 's1');
    writeAsGuest(machine, NOW);
    checkpoint(machine, 'one');
    const before = fingerprint(machine);
    const result = await kvmsnap(['revert', 'web', 's1', '--force', '--json']);
    const { error } = JSON.parse(result.stderr.trim().split('\n').at(-1) ?? '');
    expect([result.code, error.message]).toEqual([
      5,
      expect.stringContaining('a running guest would be lost'),
    ]);
    expect(fingerprint(machine)).toEqual(before);
    const [{ commands }] = error.findings;
    pasteOk(commands.join(' && '));
    const copy = `${pathOf(machine)}.s1.copy`;
    expect([existsSync(copy), byteIn(copy), now(machine), checkpoints(machine)]).toEqual([
      true,
      THEN,
      NOW,
      ['one'],
    ]);
  },
);
