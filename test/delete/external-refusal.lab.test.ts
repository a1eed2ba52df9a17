// What libvirt would lose or refuse when it deletes an external snapshot.
import { existsSync, mkdtempSync, statfsSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { libvirtdPid, repairLibvirtd } from '../lab/daemon.ts';
import { pasteOk } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { hasPattern, imageInfo, writePattern } from '../scene/disk.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { fail, failure, succeed, tagNames, take, twoDisks } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, state, type Vm } from '../scene/vm.ts';
import {
  activeImages,
  beside,
  chain,
  deleteRaw,
  layer,
  refusedHere,
  STEP,
  scene,
  step,
  steps,
} from './layered.ts';

afterEach(cleanUp);

/** Off, with the external snapshots of these names, and a step written before and after each. */
function layered(name: string, ...snapshots: string[]): Vm {
  return layer(defineVm({ name, disks: [{ size: '16M' }] }), ...snapshots);
}

function freeBytesAt(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

const revertRaw = (vm: Vm, name: string) =>
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name);

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

  test.each([
    ['off', false],
    ['running', true],
  ])(
    'a file that another disk of the VM lies on, %s: virsh fails midway, kvmsnap refuses (hazard 37)',
    async (_, runs) => {
      const [raw, vm] = ['by-virsh', 'by-kvmsnap'].map((name) => {
        const made = defineVm({ name, disks: [{ size: '16M' }] });
        const other = `${pathOf(made)}.other`;
        tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', pathOf(made), other]);
        // by another path, so that only the file itself is the same
        const link = `${pathOf(made)}.link`;
        symlinkSync(pathOf(made), link);
        tool('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', link, other]);
        layer(made, 'e1');
        virsh('attach-disk', made.uuid, other, 'vdb', '--subdriver', 'qcow2', '--config');
        if (runs) start(made);
        return made;
      }) as [Vm, Vm];
      if (await refusedHere(vm, 'e1')) return;
      expect(deleteRaw(raw, 'e1')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('"write" lock'),
      });
      const before = scene(vm);
      for (const command of ['delete', 'prune'] as const) {
        const { findings } = await failure(
          5,
          ...(command === 'delete'
            ? [command, 'by-kvmsnap', 'e1']
            : [command, 'by-kvmsnap', '--match', 'e*', '--keep-last', '0', '--allow-empty']),
        );
        expect(findings).toMatchObject([
          {
            message: expect.stringContaining(`write into ${pathOf(vm)}, which disk vdb of the VM needs too`),
          },
        ]);
      }
      expect(scene(vm)).toEqual(before);
    },
  );

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
      /internal snapshots \(i1, i2, i3\); libvirt can delete the new external snapshot only after/;
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
