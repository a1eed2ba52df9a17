// Files that more than one VM uses: what raw virsh does to the other VM.
import { symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import { libvirtVersion } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { byteIn, NOW, succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const small = { size: '4M' };

const raw = (command: string, vm: Vm, name: string) =>
  tryVirsh(command, '--domain', vm.uuid, '--snapshotname', name).code;

const tagNames = (vm: Vm): string[] => tags(pathOf(vm)).map(({ name }) => name);

/** Off, with the snapshot `s1` of THEN, and NOW on its disks. */
function movedOn(name: string, disks = 1): Vm {
  const vm = defineVm({ name, disks: Array(disks).fill(small), boot: 'counter' });
  write(vm, THEN);
  take(vm, 's1');
  write(vm, NOW);
  return vm;
}

/** One of each for virsh, and for kvmsnap the ones called `web-1` and `web-1-other`. */
function twins<T>(make: (name: string) => T): [T, T] {
  return [make('twin'), make('web-1')];
}

/** What became of the disk that the other VM sees. */
const other = (code: number, vm: Vm): string => {
  if (byteIn(pathOf(vm)) !== NOW) return `changes the disk of the other VM, exit ${code}`;
  return code === 0 ? 'works' : `cannot, exit ${code}`;
};

hazard(39, 'revert of a VM whose image is the backing file of another VM', async () => {
  const [twin, ours] = twins((name) => {
    const golden = movedOn(name);
    const alias = join(dirname(pathOf(golden)), 'golden.qcow2');
    symlinkSync(pathOf(golden), alias);
    return { golden, clone: defineVm({ name: `${name}-other`, disks: [{ backing: alias }] }) };
  });
  const code = raw('snapshot-revert', twin.golden, 's1');
  expect(code).toBe(0);
  const { words, refusal } = await refusesAll(ours.golden, 'revert', 'web-1', 's1', '--force');
  expect([refusal.exitCode, byteIn(pathOf(ours.clone))]).toEqual([5, NOW]);
  expect(refusal.message).toContain('VM web-1-other (shut off) has an overlay on top of it');
  return { virsh: other(code, twin.clone), kvmsnap: words };
});

hazard(39, 'revert of a VM to a snapshot with a disk that another VM uses now', async () => {
  const [twin, ours] = twins((name) => {
    const giver = movedOn(name, 2);
    virsh('detach-disk', giver.uuid, 'vdb', '--config');
    return { giver, taker: defineVm({ name: `${name}-other`, disks: [{ source: pathOf(giver, 1) }] }) };
  });
  const code = raw('snapshot-revert', twin.giver, 's1');
  expect(code).toBe(0);
  const { words, refusal } = await refusesAll(ours.giver, 'revert', 'web-1', 's1', '--force');
  expect([refusal.exitCode, byteIn(pathOf(ours.taker))]).toEqual([5, NOW]);
  expect(refusal.message).toContain('VM web-1-other (shut off) uses it as disk vda');
  return { virsh: other(code, twin.taker), kvmsnap: words };
});

hazard(39, 'delete of a snapshot while another VM runs on the image', async () => {
  const [twin, ours] = twins((name) => {
    const vm = movedOn(name);
    const runs = defineVm({ name: `${name}-other`, disks: [{ source: pathOf(vm) }] });
    start(runs);
    return vm;
  });
  const code = raw('snapshot-delete', twin, 's1');
  const isKnown = snapshotNames(twin).includes('s1');
  const { words, refusal } = await refusesAll(ours, 'delete', 'web-1', 's1');
  expect([refusal.exitCode, tagNames(ours)]).toEqual([5, ['s1']]);
  expect(refusal.command).toBe('virsh shutdown web-1-other');
  expect(tagNames(twin)).toEqual(['s1']);
  return {
    virsh: isKnown ? `cannot, exit ${code}` : `unregisters it, but it stays in the image, exit ${code}`,
    kvmsnap: words,
  };
});

hazard(39, 'delete of a snapshot that another VM has in the same image', async () => {
  const [twin, ours] = twins((name) => {
    const vm = movedOn(name);
    const second = defineVm({ name: `${name}-other`, disks: [{ source: pathOf(vm) }] });
    const file = join(dirname(pathOf(vm)), 's1.xml');
    const xml = virsh('snapshot-dumpxml', vm.uuid, 's1')
      .replaceAll(vm.uuid, second.uuid)
      .replaceAll(`<name>${vm.name}<`, `<name>${second.name}<`);
    tool('sh', ['-c', `printf %s "$1" > "$2"`, 'sh', xml, file]);
    virsh('snapshot-create', second.uuid, file, '--redefine');
    return { vm, second };
  });
  const code = raw('snapshot-delete', twin.vm, 's1');
  expect([snapshotNames(twin.second), tagNames(twin.second)]).toEqual([['s1'], []]);
  const { words, refusal } = await refusesAll(ours.vm, 'delete', 'web-1', 's1');
  expect([refusal.exitCode, tagNames(ours.second)]).toEqual([5, ['s1']]);
  return { virsh: `the other VM loses its snapshot, exit ${code}`, kvmsnap: words };
});

hazard(39, 'a snapshot of another VM in a shared image', async () => {
  const [twin, ours] = twins((name) => {
    const vm = defineVm({ name, disks: [small] });
    const second = defineVm({ name: `${name}-other`, disks: [{ source: pathOf(vm) }, small] });
    take(second, 'both');
    take(vm, 'precious');
    return { vm, second };
  });
  // what looks like an orphan to the VM that does not know it
  tool('qemu-img', ['snapshot', '-d', 'precious', pathOf(twin.second)]);
  expect([snapshotNames(twin.vm), tagNames(twin.vm)]).toEqual([['precious'], ['both']]);
  const before = domainXml(ours.vm);
  const { stdout } = await succeed('check', 'web-1-other', '--fix', '--yes');
  expect(stdout).toContain('VM web-1 (shut off) uses it as disk vda and has its snapshot precious in it');
  expect([tagNames(ours.vm), domainXml(ours.vm)]).toEqual([['both', 'precious'], before]);
  await succeed('revert', 'web-1', 'precious', '--dry-run').then(
    () => expect.unreachable(),
    (error: Error) => expect(error.message).toContain('exit 5'),
  );
  return {
    virsh: 'shows no owner; deleted as an orphan, it is lost for the other VM',
    kvmsnap: 'check names the owner, --fix leaves it',
  };
});

hazard(39, 'delete of an external snapshot over an image that another VM has as its disk', async () => {
  const [twin, ours] = twins((name) => {
    const vm = defineVm({ name, disks: [small] });
    write(vm, NOW);
    const second = defineVm({ name: `${name}-other`, disks: [{ source: pathOf(vm) }] });
    take(vm, 'e1', '--disk-only');
    const overlay = pathOf(vm).replace(/qcow2$/, 'e1');
    write({ ...vm, disks: [{ target: 'vda', path: overlay }] }, THEN);
    return { vm, second };
  });
  const code = raw('snapshot-delete', twin.vm, 'e1');
  const { words } = await refusesAll(ours.vm, 'delete', 'web-1', 'e1');
  expect(byteIn(pathOf(ours.second))).toBe(NOW);
  return { virsh: other(code, twin.second), kvmsnap: words };
});

hazard(39, 'revert that removes an overlay that another VM uses', async () => {
  const [twin, ours] = twins((name) => {
    const vm = defineVm({ name, disks: [small] });
    take(vm, 'e1', '--disk-only');
    take(vm, 'e2', '--disk-only');
    const overlay = pathOf(vm).replace(/qcow2$/, 'e2');
    return { vm, clone: defineVm({ name: `${name}-other`, disks: [{ backing: overlay }] }) };
  });
  const isWhole = ({ clone }: typeof twin) => {
    const { code } = tryVirsh('start', '--domain', clone.uuid);
    return code === 0;
  };
  const code = raw('snapshot-revert', twin.vm, 'e1');
  const { words } = await refusesAll(ours.vm, 'revert', 'web-1', 'e1', '--force');
  expect(isWhole(ours)).toBe(true);
  if (code !== 0) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  return {
    virsh: isWhole(twin) ? 'works' : `the other VM cannot start any more, exit ${code}`,
    kvmsnap: words,
  };
});

hazard(39, 'revert of a running VM that had a medium which another VM writes to now', async () => {
  const [twin, ours] = twins((name) => {
    const vm = defineVm({
      name,
      boot: 'counter',
      disks: [small, { size: '4M', format: 'raw', device: 'cdrom', readonly: true }],
    });
    start(vm);
    take(vm, 's1');
    virsh('change-media', vm.uuid, 'hda', '--eject', '--live', '--config');
    const medium = { source: pathOf(vm, 1), format: 'raw' };
    start(defineVm({ name: `${name}-other`, disks: [medium] }));
    return vm;
  });
  const code = raw('snapshot-revert', twin, 's1');
  const isLost = state(twin) !== 'running';
  if (libvirtVersion === '7.0') {
    await succeed('revert', 'web-1', 's1');
    expect(state(ours)).toBe('running');
    return { virsh: isLost ? 'stops the guest' : `works, exit ${code}`, kvmsnap: 'works' };
  }
  const { words, refusal } = await refusesAll(ours, 'revert', 'web-1', 's1', '--force');
  expect([state(ours), refusal.command]).toEqual(['running', 'virsh shutdown web-1-other']);
  return {
    virsh: isLost ? `stops the guest, and its memory is lost, exit ${code}` : `works, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running`,
  };
});
