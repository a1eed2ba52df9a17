// External snapshots that do not keep all disks: of the memory alone, and with disks that are left to their storage.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, refused, writableImages } from '../lab/evidence.ts';
import { isSystemLab, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { imageInfo, tags } from '../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { byteIn, count, countTo, document, succeed, writeAsGuest } from '../scene/steps.ts';
import {
  cleanUp,
  defineVm,
  destroy,
  pathOf,
  start,
  state,
  stateAndReason,
  type Vm,
  type VmSpec,
} from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const [THEN, NOW] = [0x11, 0x22];
const SMALL = { size: '4M' };

const canRevert = since({ '7.0': false, '9.9': true });
const canDelete = since({ '7.0': false, '11.3': true });
const FORCE = canRevert ? [] : ['--force'];

const beside = (vm: Vm, name: string): string => join(dirname(pathOf(vm)), name);
const now = (vm: Vm) => writableImages(vm).map(byteIn);

function runs(name: string, spec: Partial<VmSpec> = {}): Vm {
  const vm = defineVm({ name, disks: [SMALL, SMALL], boot: 'counter', ...spec });
  start(vm);
  return vm;
}

describe('the memory alone', () => {
  const ALONE = ['--diskspec', 'vda,snapshot=no', '--diskspec', 'vdb,snapshot=no'];

  test('is saved, shown as what it is, and no disk is touched', async () => {
    const vm = runs('web');
    writeAsGuest(vm, THEN);
    const memory = beside(vm, 'm1.mem');
    const images = writableImages(vm);
    const { stderr } = await succeed('create-as', 'web', 'm1', '--memspec', memory, ...ALONE, ...FORCE);
    expect(stderr).toContain('warning: the snapshot contains only the memory, and no disk');
    expect(snapshotXml(vm, 'm1')).toContain(`<memory snapshot='external' file='${memory}'/>`);
    expect([state(vm), writableImages(vm), existsSync(memory)]).toEqual(['running', images, true]);
    const { snapshot } = await document('info-snapshot', 'info', 'web', 'm1');
    expect([snapshot.location, snapshot.memory, snapshot.disks]).toEqual([
      'external',
      { location: 'external', file: memory },
      [],
    ]);
    expect((await succeed('list', 'web')).stdout).toContain('m1');
    const { code, stdout } = await kvmsnap(['check', 'web']);
    expect(stdout).toMatch(/note +memory-alone/);
    if (canRevert) expect(code).toBe(0);
  });

  test('by an XML, too', async () => {
    const vm = runs('web');
    const [memory, xml] = ['m1.mem', 's.xml'].map((name) => beside(vm, name)) as [string, string];
    writeFileSync(
      xml,
      `<domainsnapshot><name>m1</name><memory snapshot='external' file='${memory}'/><disks><disk name='vda' snapshot='no'/><disk name='vdb' snapshot='no'/></disks></domainsnapshot>`,
    );
    await succeed('create', 'web', '--xml', xml, '--live', ...FORCE);
    expect(snapshotXml(vm, 'm1')).toContain("<disk name='vda' snapshot='no'/>");
  });

  test('a revert brings it back over what the disks hold, and says so; a delete removes its file', async () => {
    const vm = runs('web');
    writeAsGuest(vm, THEN);
    await countTo(vm, 20);
    const memory = beside(vm, 'm1.mem');
    await succeed('create-as', 'web', 'm1', '--memspec', memory, ...ALONE, ...FORCE);
    const counted = count(vm);
    writeAsGuest(vm, NOW);
    if (canRevert) {
      await countTo(vm, counted + 30);
      const { stderr } = await succeed('revert', 'web', 'm1', '--paused');
      expect(stderr).toContain(
        'm1 contains only the memory. A revert loads the memory and leaves the disks as they are',
      );
      expect([state(vm), now(vm)]).toEqual(['paused', [NOW, NOW]]);
      expect(count(vm)).toBeLessThanOrEqual(counted);
    } else {
      const { message, exitCode } = await refused('revert', 'web', 'm1', '--force');
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining('cannot revert to external snapshots'),
      ]);
    }
    if (canDelete) await succeed('delete', 'web', 'm1');
    else {
      expect(tryVirsh('snapshot-delete', vm.uuid, 'm1').code).toBe(1);
      const before = snapshotNames(vm);
      const { message, exitCode, findings } = await refused('delete', 'web', 'm1');
      expect([exitCode, message]).toEqual([
        5,
        expect.stringMatching(/only the memory|cannot delete external/),
      ]);
      expect(snapshotNames(vm)).toEqual(before);
      pasteOk(findings.flatMap(({ commands }) => commands).join(' && '));
    }
    expect(snapshotNames(vm)).toEqual([]);
    if (since({ '7.0': false, '9.0': true })) expect(existsSync(memory)).toBe(false);
  });

  test('of a VM that is off there is none, and of one without disks it is all', async () => {
    const vm = runs('web');
    destroy(vm);
    const before = fingerprint(vm);
    const off = await refused('create-as', 'web', 'm1', '--memspec', beside(vm, 'm'), ...ALONE, '--force');
    expect([off.exitCode, off.message]).toEqual([5, expect.stringContaining('there is no memory to save')]);
    const none = await refused('create-as', 'web', 'm1', '--disk-only', ...ALONE, '--force');
    expect([none.exitCode, none.message]).toEqual([
      5,
      expect.stringContaining('every disk is left out (vda, vdb)'),
    ]);
    expect(fingerprint(vm)).toEqual(before);
    const bare = defineVm({ name: 'bare', disks: [] });
    start(bare);
    await succeed('create-as', 'bare', 'm1', '--memspec', beside(vm, 'bare.mem'), ...FORCE);
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
      const vm = runs('web', spec);
      writeAsGuest(vm, THEN);
      const before = fingerprint(vm);
      const args = ['create-as', 'web', 's1', '--disk-only', ...options, ...FORCE];
      if (!known) {
        const { message, exitCode } = await refused(...args);
        expect([exitCode, message]).toEqual([5, expect.stringContaining('does not support')]);
        expect(fingerprint(vm)).toEqual(before);
        return;
      }
      const { stdout, stderr } = await succeed(...args);
      expect(stdout).toContain('taken, left paused');
      expect(stderr).toContain(
        "the snapshot leaves disk vda to the storage (snapshot='manual'): the VM will stay paused",
      );
      expect(stateAndReason(vm)).toBe('paused (creating snapshot)');
      expect(snapshotXml(vm, 's1')).toContain("<disk name='vda' snapshot='manual'/>");
      expect(writableImages(vm)).toEqual([pathOf(vm), beside(vm, 'vdb.s1')]);
      const [, goOn = null] = /note: web is paused\. .*\n +(virsh resume .*)$/m.exec(stderr) ?? [];
      pasteOk(goOn);
      expect([state(vm), now(vm)]).toEqual(['running', [THEN, THEN]]);
      expect(tags(pathOf(vm))).toEqual([]);
    },
  );

  test('with the memory, and of all disks', async () => {
    if (!known) return;
    const vm = runs('web');
    const memory = beside(vm, 'm');
    const all = ['--diskspec', 'vda,snapshot=manual', '--diskspec', 'vdb,snapshot=manual'];
    await succeed('create-as', 'web', 's1', '--memspec', memory, ...all, ...FORCE);
    expect([stateAndReason(vm), existsSync(memory)]).toEqual(['paused (creating snapshot)', true]);
    virsh('resume', vm.uuid);
    const before = fingerprint(vm);
    if (alone) {
      await succeed('create-as', 'web', 's2', '--disk-only', ...all);
      expect(stateAndReason(vm)).toBe('paused (creating snapshot)');
      expect(snapshotNames(vm)).toEqual(['s1', 's2']);
      return;
    }
    const { message, exitCode } = await refused('create-as', 'web', 's2', '--disk-only', ...all, ...FORCE);
    expect([exitCode, message]).toEqual([5, expect.stringContaining('before 11.9')]);
    expect(fingerprint(vm)).toEqual(before);
  });

  test('of a VM that is off, or halted: nothing is left paused', async () => {
    if (!known) return;
    const vm = runs('web');
    const { stderr } = await succeed('create-as', 'web', 's1', '--disk-only', '--halt', ...MIXED, ...FORCE);
    expect([state(vm), stderr]).toEqual(['shut off', expect.stringContaining('before the VM is started')]);
    const { stdout } = await succeed('create-as', 'web', 's2', '--disk-only', ...MIXED, ...FORCE);
    expect([state(vm), stdout]).toEqual(['shut off', expect.not.stringContaining('paused')]);
  });

  test('a revert brings back the other disks, and says whose matter this one is; a delete merges them', async () => {
    if (!known) return;
    const vm = runs('web');
    writeAsGuest(vm, THEN);
    await succeed('create-as', 'web', 's1', '--disk-only', ...MIXED, ...FORCE);
    virsh('resume', vm.uuid);
    writeAsGuest(vm, NOW);
    if (canRevert) {
      const { stderr } = await succeed('revert', 'web', 's1');
      expect(stderr).toContain('snapshot s1 leaves disk vda to the storage');
      expect([state(vm), now(vm)]).toEqual(['shut off', [NOW, THEN]]);
      await succeed('delete', 'web', 's1');
      expect([snapshotNames(vm), now(vm), writableImages(vm)]).toEqual([
        [],
        [NOW, THEN],
        vm.disks.map(({ path }) => path),
      ]);
      return;
    }
    expect(tryVirsh('snapshot-delete', vm.uuid, 's1').stderr).toContain('could not find base disk source');
    const { message, command, exitCode } = await refused('delete', 'web', 's1');
    expect([exitCode, message]).toEqual([5, expect.stringContaining('leaves disk vda to the storage')]);
    pasteOk(command);
    expect([snapshotNames(vm), now(vm)]).toEqual([[], [NOW, NOW]]);
  });

  test.skipIf(!isSystemLab || !known)(
    'on a block device: taken; libvirt does not go back, and that is said',
    async () => {
      const vm = runs('web', { disks: [{ ...SMALL, format: 'raw', backend: 'block' }, SMALL] });
      const { stderr } = await succeed('create-as', 'web', 's1', '--disk-only', ...MIXED, ...FORCE);
      virsh('resume', vm.uuid);
      if (!canRevert) return;
      expect(stderr).toContain('is not a file, so libvirt will not revert the VM to this snapshot');
      expect(tryVirsh('snapshot-revert', vm.uuid, 's1').stderr).toContain('is not a regular file');
      const { message, exitCode } = await refused('revert', 'web', 's1', '--force');
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining('is not a file, and libvirt cannot revert a VM'),
      ]);
      expect(state(vm)).toBe('running');
      await succeed('delete', 'web', 's1');
      expect([snapshotNames(vm), imageInfo(pathOf(vm, 1)).format]).toEqual([[], 'qcow2']);
    },
  );
});
