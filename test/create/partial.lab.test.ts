// External snapshots that do not keep all disks: of the memory alone, and with disks that are left to their storage.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { imageInfo, tags } from '../lab/disk.ts';
import { isSystemLab, tryVirsh, virsh } from '../lab/lab.ts';
import {
  cleanUp,
  defineMachine,
  destroy,
  type Machine,
  type MachineSpec,
  pathOf,
  start,
  state,
  stateAndReason,
} from '../lab/machine.ts';
import { snapshotNames, snapshotXml } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { fingerprint, pasteOk, refused, writableImages } from '../lab/evidence.ts';
import { byteIn, count, countTo, document, succeed, writeAsGuest } from '../lab/scene.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const [THEN, NOW] = [0x11, 0x22];
const SMALL = { size: '4M' };

const canRevert = since({ '7.0': false, '9.9': true });
const canDelete = since({ '7.0': false, '11.3': true });
const FORCE = canRevert ? [] : ['--force'];

const beside = (machine: Machine, name: string): string => join(dirname(pathOf(machine)), name);
const now = (machine: Machine) => writableImages(machine).map(byteIn);

function runs(name: string, spec: Partial<MachineSpec> = {}): Machine {
  const machine = defineMachine({ name, disks: [SMALL, SMALL], boot: 'counter', ...spec });
  start(machine);
  return machine;
}

describe('the memory alone', () => {
  const ALONE = ['--diskspec', 'vda,snapshot=no', '--diskspec', 'vdb,snapshot=no'];

  test('is saved, shown as what it is, and no disk is touched', async () => {
    const machine = runs('web');
    writeAsGuest(machine, THEN);
    const memory = beside(machine, 'm1.mem');
    const images = writableImages(machine);
    const { stderr } = await succeed('create-as', 'web', 'm1', '--memspec', memory, ...ALONE, ...FORCE);
    expect(stderr).toContain('warning: the memory alone is saved, and no disk');
    expect(snapshotXml(machine, 'm1')).toContain(`<memory snapshot='external' file='${memory}'/>`);
    expect([state(machine), writableImages(machine), existsSync(memory)]).toEqual(['running', images, true]);
    const { snapshot } = await document('info-snapshot', 'info', 'web', 'm1');
    expect([snapshot.location, snapshot.memory, snapshot.disks]).toEqual([
      'external',
      { location: 'external', file: memory },
      [],
    ]);
    expect((await succeed('list', 'web')).stdout).toContain('m1');
    const { code, stdout } = await kvmsnap(['check', 'web']);
    expect(stdout).toMatch(/information +memory-alone/);
    if (canRevert) expect(code).toBe(0);
  });

  test('by an XML, too', async () => {
    const machine = runs('web');
    const [memory, xml] = ['m1.mem', 's.xml'].map((name) => beside(machine, name)) as [string, string];
    writeFileSync(
      xml,
      `<domainsnapshot><name>m1</name><memory snapshot='external' file='${memory}'/><disks><disk name='vda' snapshot='no'/><disk name='vdb' snapshot='no'/></disks></domainsnapshot>`,
    );
    await succeed('create', 'web', '--xml', xml, '--live', ...FORCE);
    expect(snapshotXml(machine, 'm1')).toContain("<disk name='vda' snapshot='no'/>");
  });

  test('a revert brings it back over what the disks hold, and says so; a delete removes its file', async () => {
    const machine = runs('web');
    writeAsGuest(machine, THEN);
    await countTo(machine, 20);
    const memory = beside(machine, 'm1.mem');
    await succeed('create-as', 'web', 'm1', '--memspec', memory, ...ALONE, ...FORCE);
    const counted = count(machine);
    writeAsGuest(machine, NOW);
    if (canRevert) {
      await countTo(machine, counted + 30);
      const { stderr } = await succeed('revert', 'web', 'm1', '--paused');
      expect(stderr).toContain(
        "'m1' is of the memory alone: the guest goes on with it over what the disks hold",
      );
      expect([state(machine), now(machine)]).toEqual(['paused', [NOW, NOW]]);
      expect(count(machine)).toBeLessThanOrEqual(counted);
    } else {
      const { message, exitCode } = await refused('revert', 'web', 'm1', '--force');
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining('cannot revert to external snapshots'),
      ]);
    }
    if (canDelete) await succeed('delete', 'web', 'm1');
    else {
      expect(tryVirsh('snapshot-delete', machine.uuid, 'm1').code).toBe(1);
      const before = snapshotNames(machine);
      const { message, exitCode, findings } = await refused('delete', 'web', 'm1');
      expect([exitCode, message]).toEqual([5, expect.stringMatching(/memory alone|cannot delete external/)]);
      expect(snapshotNames(machine)).toEqual(before);
      pasteOk(findings.flatMap(({ commands }) => commands).join(' && '));
    }
    expect(snapshotNames(machine)).toEqual([]);
    if (since({ '7.0': false, '9.0': true })) expect(existsSync(memory)).toBe(false);
  });

  test('of a VM that is off there is none, and of one without disks it is all', async () => {
    const machine = runs('web');
    destroy(machine);
    const before = fingerprint(machine);
    const off = await refused(
      'create-as',
      'web',
      'm1',
      '--memspec',
      beside(machine, 'm'),
      ...ALONE,
      '--force',
    );
    expect([off.exitCode, off.message]).toEqual([5, expect.stringContaining('there is no memory to save')]);
    const none = await refused('create-as', 'web', 'm1', '--disk-only', ...ALONE, '--force');
    expect([none.exitCode, none.message]).toEqual([
      5,
      expect.stringContaining('every disk is left out (vda, vdb)'),
    ]);
    expect(fingerprint(machine)).toEqual(before);
    const bare = defineMachine({ name: 'bare', disks: [] });
    start(bare);
    await succeed('create-as', 'bare', 'm1', '--memspec', beside(machine, 'bare.mem'), ...FORCE);
    expect(snapshotNames(bare)).toEqual(['m1']);
  });
});

describe("a disk with snapshot='manual'", () => {
  const MIXED = ['--diskspec', 'vda,snapshot=manual', '--diskspec', 'vdb,snapshot=external'];
  const known = since({ '7.0': false, '9.0': true });
  const alone = since({ '7.0': false, '11.9': true });

  test.each([
    ['--diskspec', {}, MIXED],
    ["the VM's XML", { disks: [{ ...SMALL, snapshot: 'manual' as const }, SMALL] }, []],
  ])(
    'by %s: it is left to its storage, the VM is left paused, and what is said goes on',
    async (_, spec, options) => {
      const machine = runs('web', spec);
      writeAsGuest(machine, THEN);
      const before = fingerprint(machine);
      const args = ['create-as', 'web', 's1', '--disk-only', ...options, ...FORCE];
      if (!known) {
        const { message, exitCode } = await refused(...args);
        expect([exitCode, message]).toEqual([5, expect.stringContaining('does not know')]);
        expect(fingerprint(machine)).toEqual(before);
        return;
      }
      const { stdout, stderr } = await succeed(...args);
      expect(stdout).toContain('taken, left paused');
      expect(stderr).toContain(
        "disk vda is left to its storage (snapshot='manual'): the VM will be left paused",
      );
      expect(stateAndReason(machine)).toBe('paused (creating snapshot)');
      expect(snapshotXml(machine, 's1')).toContain("<disk name='vda' snapshot='manual'/>");
      expect(writableImages(machine)).toEqual([pathOf(machine), beside(machine, 'vdb.s1')]);
      const [, goOn = null] = /note: 'web' is paused: .*: (virsh resume .*)$/m.exec(stderr) ?? [];
      pasteOk(goOn);
      expect([state(machine), now(machine)]).toEqual(['running', [THEN, THEN]]);
      expect(tags(pathOf(machine))).toEqual([]);
    },
  );

  test('with the memory, and of all disks', async () => {
    if (!known) return;
    const machine = runs('web');
    const memory = beside(machine, 'm');
    const all = ['--diskspec', 'vda,snapshot=manual', '--diskspec', 'vdb,snapshot=manual'];
    await succeed('create-as', 'web', 's1', '--memspec', memory, ...all, ...FORCE);
    expect([stateAndReason(machine), existsSync(memory)]).toEqual(['paused (creating snapshot)', true]);
    virsh('resume', machine.uuid);
    const before = fingerprint(machine);
    if (alone) {
      await succeed('create-as', 'web', 's2', '--disk-only', ...all);
      expect(stateAndReason(machine)).toBe('paused (creating snapshot)');
      expect(snapshotNames(machine)).toEqual(['s1', 's2']);
      return;
    }
    const { message, exitCode } = await refused('create-as', 'web', 's2', '--disk-only', ...all, ...FORCE);
    expect([exitCode, message]).toEqual([5, expect.stringContaining('before 11.9')]);
    expect(fingerprint(machine)).toEqual(before);
  });

  test('of a VM that is off, or halted: nothing is left paused', async () => {
    if (!known) return;
    const machine = runs('web');
    const { stderr } = await succeed('create-as', 'web', 's1', '--disk-only', '--halt', ...MIXED, ...FORCE);
    expect([state(machine), stderr]).toEqual([
      'shut off',
      expect.stringContaining('before the VM is started'),
    ]);
    const { stdout } = await succeed('create-as', 'web', 's2', '--disk-only', ...MIXED, ...FORCE);
    expect([state(machine), stdout]).toEqual(['shut off', expect.not.stringContaining('paused')]);
  });

  test('a revert brings back the other disks, and says whose matter this one is; a delete merges them', async () => {
    if (!known) return;
    const machine = runs('web');
    writeAsGuest(machine, THEN);
    await succeed('create-as', 'web', 's1', '--disk-only', ...MIXED, ...FORCE);
    virsh('resume', machine.uuid);
    writeAsGuest(machine, NOW);
    if (canRevert) {
      const { stderr } = await succeed('revert', 'web', 's1');
      expect(stderr).toContain("disk vda was left to its storage when 's1' was taken");
      expect([state(machine), now(machine)]).toEqual(['shut off', [NOW, THEN]]);
      await succeed('delete', 'web', 's1');
      expect([snapshotNames(machine), now(machine), writableImages(machine)]).toEqual([
        [],
        [NOW, THEN],
        machine.disks.map(({ path }) => path),
      ]);
      return;
    }
    expect(tryVirsh('snapshot-delete', machine.uuid, 's1').stderr).toContain(
      'could not find base disk source',
    );
    const { message, command, exitCode } = await refused('delete', 'web', 's1');
    expect([exitCode, message]).toEqual([5, expect.stringContaining('disk vda was left to its storage')]);
    pasteOk(command);
    expect([snapshotNames(machine), now(machine)]).toEqual([[], [NOW, NOW]]);
  });

  test.skipIf(!isSystemLab || !known)(
    'on a block device: taken; libvirt does not go back, and that is said',
    async () => {
      const machine = runs('web', { disks: [{ ...SMALL, format: 'raw', backend: 'block' }, SMALL] });
      const { stderr } = await succeed('create-as', 'web', 's1', '--disk-only', ...MIXED, ...FORCE);
      virsh('resume', machine.uuid);
      if (!canRevert) return;
      expect(stderr).toContain('is no file, and libvirt will not revert the VM to this snapshot');
      expect(tryVirsh('snapshot-revert', machine.uuid, 's1').stderr).toContain('is not a regular file');
      const { message, exitCode } = await refused('revert', 'web', 's1', '--force');
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining('is no file, and libvirt reverts no VM'),
      ]);
      expect(state(machine)).toBe('running');
      await succeed('delete', 'web', 's1');
      expect([snapshotNames(machine), imageInfo(pathOf(machine, 1)).format]).toEqual([[], 'qcow2']);
    },
  );
});
