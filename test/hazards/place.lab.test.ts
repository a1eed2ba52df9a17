// Where the bytes are to go cannot take them: read-only file systems, immutable files, full devices and file systems.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import {
  blockDevice,
  fillDevice,
  fillFilesystem,
  makeReadOnly,
  makeWritable,
  smallFilesystem,
} from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { byteIn, bytes, NOW, succeed, THEN, tagNames, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { errorsOf } from './promise/findings.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const raw = (command: string, { uuid }: Vm, name: string, ...options: string[]) =>
  tryVirsh(command, '--domain', uuid, '--snapshotname', name, ...options).code;

interface Placed {
  readonly vm: Vm;
  /** Where its second image is, on a file system of its own. */
  readonly directory: string;
}

/** Off, its second image on a small file system; `s1` of THEN, `s2`, and NOW on both disks. */
function placed(name: string): Placed {
  const directory = smallFilesystem(16);
  const path = join(directory, 'b.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '4M']);
  const vm = defineVm({ name, boot: 'counter', disks: [{ size: '4M' }, { source: path }] });
  write(vm, THEN);
  take(vm, 's1');
  take(vm, 's2');
  write(vm, NOW);
  return { vm, directory };
}

const pair = <T>(make: (name: string) => T): [T, T] => [make('twin'), make('web-1')];

/** What became of a snapshot whose deletion in the second image could not work. */
const halfGone = (vm: Vm, code: number): string => {
  const [first, second] = tagNames(vm).map((names) => names.includes('s1'));
  expect([first, second]).toEqual([false, true]);
  expect(snapshotNames(vm)).not.toContain('s1');
  return `unregisters it, but one image keeps it, exit ${code}`;
};

hazard(50, 'delete, VM off, one image on a read-only file system', async () => {
  const [twin, ours] = pair(placed);
  for (const { directory } of [twin, ours]) makeReadOnly(directory);
  const code = raw('snapshot-delete', twin.vm, 's1');
  const outcome = halfGone(twin.vm, code);

  const { words, refusal } = await refusesAll(ours.vm, 'delete', 'web-1', 's1');
  expect(refusal.message).toContain(`${ours.directory} is`);
  // the same before a script that deletes many
  await refusesAll(ours.vm, 'prune', 'web-1', '--keep-last', '1');
  await refusesAll(ours.vm, 'create-as', 'web-1', 's3', '--force');
  expect((await errorsOf(ours.vm)).map(({ rule }) => rule)).toContain('unwritable-image');
  makeWritable(ours.directory);
  await succeed('delete', 'web-1', 's1');
  expect(tagNames(ours.vm)).toEqual([['s2'], ['s2']]);
  return { virsh: outcome, kvmsnap: words };
});

hazard(50, 'revert, VM running, one image on a file system that became read-only', async () => {
  const [twin, ours] = pair((name) => {
    const made = placed(name);
    start(made.vm);
    makeReadOnly(made.directory);
    return made;
  });
  const code = raw('snapshot-revert', twin.vm, 's1', '--force');
  expect([state(twin.vm), ...bytes(twin.vm)]).toEqual(['shut off', THEN, NOW]);

  const { words, refusal } = await refusesAll(ours.vm, 'revert', 'web-1', 's1', '--force');
  expect([state(ours.vm), refusal.command?.split(' ')[0]]).toEqual(['running', 'mount']);
  // QEMU has the image open: what can be done is not refused
  await succeed('create-as', 'web-1', 's3');
  expect(tagNames(ours.vm)).toEqual(Array(2).fill(['s1', 's2', 's3']));
  return {
    virsh: `stops the guest, reverts only one disk, and the guest's memory is lost, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running`,
  };
});

/** A device with an image that two snapshots can fill. */
function smallDevice(): string {
  const file = join(mkdtempSync(join(scratch, 'device-')), 'disk');
  tool('qemu-img', ['create', '-q', '-f', 'raw', file, '9M']);
  const path = blockDevice(file);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '4M']);
  return path;
}

hazard(50, 'delete, VM off, one image fills its block device', async () => {
  const [twin, ours] = pair((name) => {
    const source = smallDevice();
    const vm = defineVm({ name, disks: [{ size: '4M' }, { source, backend: 'block' }] });
    for (const snapshot of ['s1', 's2']) {
      fillDevice(pathOf(vm, 1));
      take(vm, snapshot);
    }
    expect(fillDevice(pathOf(vm, 1))).toBe(true);
    return vm;
  });
  const outcome = halfGone(twin, raw('snapshot-delete', twin, 's1'));
  const { words, refusal } = await refusesAll(ours, 'delete', 'web-1', 's1');
  expect(refusal.message).toContain(`fills the device ${pathOf(ours, 1)}`);
  await refusesAll(ours, 'create-as', 'web-1', 's3', '--force');
  // a revert needs no room, and makes some
  await succeed('revert', 'web-1', 's2');
  await succeed('delete', 'web-1', 's1');
  expect(tagNames(ours)).toEqual([['s2'], ['s2']]);
  return { virsh: outcome, kvmsnap: words };
});

hazard(50, 'delete, VM off, one image on a full file system', async () => {
  const [twin, ours] = pair(placed);
  for (const { directory } of [twin, ours]) fillFilesystem(directory);
  const outcome = halfGone(twin.vm, raw('snapshot-delete', twin.vm, 's1'));
  const { words, refusal } = await refusesAll(ours.vm, 'delete', 'web-1', 's1');
  expect(refusal.message).toContain(`the file system of ${ours.directory} is full`);
  tool('rm', [join(ours.directory, 'fill')]);
  await succeed('delete', 'web-1', 's1');
  // the last one takes nothing
  fillFilesystem(ours.directory);
  await succeed('delete', 'web-1', 's2');
  expect(tagNames(ours.vm)).toEqual([[], []]);
  return { virsh: outcome, kvmsnap: words };
});

/** Running on overlays over two images, the second of which is on a file system of its own; `e1` keeps them. */
function layered(name: string): Placed {
  const directory = smallFilesystem(16);
  const path = join(directory, 'b.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '4M']);
  const vm = defineVm({ name, boot: 'counter', disks: [{ size: '4M' }, { source: path }] });
  const overlays = join(pathOf(vm), '..', 'overlays');
  mkdirSync(overlays);
  const specs = ['vda', 'vdb'].flatMap((target) => ['--diskspec', `${target},file=${overlays}/${target}`]);
  take(vm, 'e1', '--disk-only', ...specs);
  write({ ...vm, disks: vm.disks.map((disk) => ({ ...disk, path: join(overlays, disk.target) })) }, NOW);
  return { vm, directory };
}

hazard(50, 'delete of an external snapshot, one base on a read-only file system', async () => {
  const [twin, ours] = pair(layered);
  for (const { directory } of [twin, ours]) makeReadOnly(directory);
  const code = raw('snapshot-delete', twin.vm, 'e1');

  const { words } = await refusesAll(ours.vm, 'delete', 'web-1', 'e1');
  expect(byteIn(pathOf(ours.vm))).not.toBe(NOW);
  // such a base is as it should be: the VM starts, and gets a further snapshot
  start(ours.vm);
  await succeed('create-as', 'web-1', 'e2', '--disk-only', '--force');
  expect(snapshotNames(ours.vm)).toContain('e2');
  expect(snapshotNames(twin.vm)).toContain('e1');
  return {
    // how far it comes on the other disk, whose state that would ruin, is chance
    virsh: `${since({ '0.0': 'cannot', '9.0': 'fails midway' })}, exit ${code}`,
    kvmsnap: words,
  };
});

hazard(50, 'revert to an external snapshot, VM running, file system of one base full', async () => {
  const [twin, ours] = pair((name) => {
    const made = layered(name);
    start(made.vm);
    fillFilesystem(made.directory);
    return made;
  });
  const code = raw('snapshot-revert', twin.vm, 'e1', '--running');
  const lost = state(twin.vm) !== 'running';
  const { words } = await refusesAll(ours.vm, 'revert', 'web-1', 'e1', '--running', '--force');
  expect([virsh('domstate', ours.vm.uuid).trim(), code]).toEqual(['running', 1]);
  return {
    virsh: `${lost ? 'stops the guest, and its memory is lost' : 'cannot'}, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running`,
  };
});

hazard(50, 'delete, VM off, while another program reads one image', async () => {
  const make = (name: string): Vm => {
    const vm = defineVm({ name, disks: [{ size: '4M' }, { size: '4M' }] });
    write(vm, THEN);
    take(vm, 's1');
    write(vm, NOW);
    return vm;
  };
  const [twin, ours] = pair(make);
  const ends = [twin, ours].map((vm) => reading(pathOf(vm, 1)));
  try {
    await Promise.all(ends.map(({ isServing }) => waitFor(isServing, { what: 'the program that reads' })));
    const code = raw('snapshot-delete', twin, 's1');
    const outcome = halfGone(twin, code);
    const { words, refusal } = await refusesAll(ours, 'delete', 'web-1', 's1');
    expect(refusal.message).toContain(`another program has locked ${pathOf(ours, 1)}`);
    await refusesAll(ours, 'revert', 'web-1', 's1', '--force');
    await refusesAll(ours, 'create-as', 'web-1', 's2', '--force');
    const before = fingerprint(ours);
    const prune = ['prune', 'web-1', '--match', '*', '--keep-last', '0', '--allow-empty'];
    expect((await kvmsnap(prune)).code).toBe(5);
    expect(fingerprint(ours)).toEqual(before);
    for (const { end } of ends) await end();
    await succeed('revert', 'web-1', 's1');
    expect(bytes(ours)).toEqual([THEN, THEN]);
    await succeed('delete', 'web-1', 's1');
    expect(tagNames(ours)).toEqual([[], []]);
    return { virsh: outcome, kvmsnap: words };
  } finally {
    for (const { end } of ends) await end();
  }
});

/** A program that reads the image, as a backup does; it ends when it is told to. */
function reading(path: string) {
  const socket = `${path}.sock`;
  const child = spawn(
    'qemu-nbd',
    ['--read-only', '--persistent', '--format=qcow2', `--socket=${socket}`, path],
    {
      stdio: 'ignore',
    },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return {
    isServing: () => existsSync(socket),
    end: async () => {
      child.kill();
      await ended;
    },
  };
}
