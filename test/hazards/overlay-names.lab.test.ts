// The overlays that libvirt makes itself in a revert to an external snapshot: their names, and where they are put.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tool, tryVirsh } from '../lab/lab.ts';
import { smallFilesystem } from '../lab/mount.ts';
import { take } from '../lab/scene.ts';
import { cleanUp, defineVm, start, state, type Vm } from '../lab/vm.ts';
import { hazard } from './promise.ts';
import { refusesAll } from './refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** A running VM with an external snapshot, and this medium in its CD-ROM. */
function withMedium(name: string, medium: string): Vm {
  const vm = defineVm({
    name,
    boot: 'counter',
    disks: [{ size: '4M' }, { device: 'cdrom', format: 'raw', source: medium, readonly: true }],
  });
  take(vm, 'e1', '--disk-only');
  start(vm);
  return vm;
}

function iso(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'medium.iso');
  tool('qemu-img', ['create', '-q', '-f', 'raw', path, '1M']);
  return path;
}

hazard(56, 'two reverts to external snapshots within one second', async () => {
  const medium = iso(join(scratch, 'media'));
  const vms = ['twin', 'web-1', 'web-2', 'web-3'].map((name) => withMedium(name, medium));
  const [twin, ...ours] = vms as [Vm, ...Vm[]];
  // as another VM's revert has made it, in whichever second libvirt comes to choose the name
  const now = Math.floor(Date.now() / 1000);
  const names = Array.from({ length: 30 }, (_, i) => medium.replace(/iso$/, `${now + i}`));
  for (const name of names) writeFileSync(name, 'taken'); // libvirt takes an empty one
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e1', '--running').code;
  const lost = code === 1 && state(twin) === 'shut off';
  for (const name of names) rmSync(name);

  const reverts = await Promise.all(ours.map(({ name }) => kvmsnap(['revert', name, 'e1', '--running'])));
  if (!lost) {
    expect(reverts.map((each) => each.code)).toEqual([5, 5, 5]);
    return { virsh: 'cannot, exit 1', kvmsnap: 'refuses, exit 5, nothing changed' };
  }
  expect(reverts.map((each) => [each.code, each.stderr.includes('error')])).toEqual(
    ours.map(() => [0, false]),
  );
  expect(ours.map(state)).toEqual(ours.map(() => 'running'));
  const again = await Promise.all(ours.map(({ name }) => kvmsnap(['revert', name, 'e1', '--running'])));
  expect(again.map((each) => each.code)).toEqual([0, 0, 0]);
  // the medium that the first revert has laid an overlay over is there to be looked at
  expect(again.map((each) => each.stderr).join('')).not.toContain('could not be inspected');
  return {
    virsh: 'loses the guest, exit 1',
    kvmsnap: 'waits until the names are free, for VMs with one CD-ROM medium too',
  };
});

hazard(42, 'revert to an external snapshot with a CD-ROM medium on a read-only file system', async () => {
  const make = (name: string): Vm => {
    const directory = smallFilesystem(4);
    const vm = withMedium(name, iso(directory));
    tool('mount', ['-o', 'remount,ro', directory]);
    return vm;
  };
  const [twin, vm] = [make('twin'), make('web-1')];
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e1', '--running').code;
  const end = state(twin);
  const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1', '--running', '--force');
  expect(state(vm)).toBe('running');
  return {
    virsh: end === 'running' ? `cannot, exit ${code}` : `loses the guest, exit ${code}`,
    kvmsnap: `${words}, the guest runs on`,
  };
});
