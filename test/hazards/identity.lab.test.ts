// Images that are elsewhere than when the snapshot was taken, and volumes whose pool is not active.
import { copyFileSync, linkSync, mkdtempSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { paste, pasteOk } from '../lab/evidence.ts';
import { scratch, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { fix } from './promise/fixing.ts';
import { hazard, type Outcome } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(end);
afterAll(end);

async function end(): Promise<void> {
  await cleanUp();
  for (const pool of virsh('pool-list', '--all', '--name').split(/\s+/).filter(Boolean)) {
    tryVirsh('pool-destroy', pool);
    tryVirsh('pool-undefine', pool);
  }
}

const THEN = 0x11;
const NOW = 0x22;
const write = (path: string, byte: number) => writePattern(path, byte, MiB, MiB);
const holds = (path: string, byte: number) => hasPattern(path, byte, MiB, MiB);
const names = (path: string) => tags(path).map(({ name }) => name);
const act = (verb: string, { uuid }: Vm) => tryVirsh(verb, '--domain', uuid, '--snapshotname', 's1').code;

/** A VM with a snapshot `s1`, of when it ran or was off, whose disk was written to since; it is off. */
function taken(name: string, running: boolean): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  write(pathOf(vm), THEN);
  if (running) start(vm);
  virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
  if (running) destroy(vm);
  write(pathOf(vm), NOW);
  return vm;
}

/** Puts the image under another name, and the name into the VM's XML. */
function under(vm: Vm, put: (from: string, to: string) => void): Vm {
  const [from, to] = [pathOf(vm), `${pathOf(vm)}.new`];
  put(from, to);
  const xml = join(scratch, 'moved.xml');
  writeFileSync(xml, virsh('dumpxml', '--inactive', '--domain', vm.uuid).replaceAll(from, to));
  virsh('define', xml);
  return { ...vm, disks: [{ target: 'vda', path: to }] };
}

/** One for virsh and one for kvmsnap. */
const twins = (put: (from: string, to: string) => void, running = false): [Vm, Vm] => [
  under(taken('twin', running), put),
  under(taken('web-1', running), put),
];

const oldPath = (vm: Vm) => pathOf(vm).replace(/\.new$/, '');

/** kvmsnap refuses what is asked and names the step that fixes it, and that makes it right. */
async function refusesAndRegisters(vm: Vm, verb: string): Promise<string> {
  const { words, refusal } = await refusesAll(vm, verb, vm.name, 's1');
  expect(refusal.message.replace('but it is also in', 'but it is in')).toContain(
    `in ${oldPath(vm)}, but it is in ${pathOf(vm)}`,
  );
  expect(refusal.command).toBe(`kvmsnap check --fix ${vm.name}`);
  expect(await fix(vm)).toEqual(['register: done']);
  expect(snapshotXml(vm, 's1')).not.toContain(`'${oldPath(vm)}'`);
  expect(currentSnapshot(vm)).toBe('s1');
  return words;
}

hazard(45, 'delete of a snapshot whose image was moved since, VM off', async () => {
  const [raw, vm] = twins(renameSync);
  expect(act('snapshot-delete', raw)).toBe(0);
  expect([snapshotNames(raw), names(pathOf(raw))]).toEqual([[], ['s1']]);

  const words = await refusesAndRegisters(vm, 'delete');
  pasteOk('kvmsnap delete web-1 s1');
  expect([snapshotNames(vm), names(pathOf(vm))]).toEqual([[], []]);
  return {
    virsh: 'exit 0: unregisters it, but it stays in the image',
    kvmsnap: `${words}; check --fix registers it with the new path, and then it is deleted`,
  };
});

hazard(45, 'delete of a snapshot whose image was copied since, the old file still there', async () => {
  const [raw, vm] = twins(copyFileSync);
  expect(act('snapshot-delete', raw)).toBe(0);
  expect([names(oldPath(raw)), names(pathOf(raw))]).toEqual([[], ['s1']]);

  const words = await refusesAndRegisters(vm, 'delete');
  pasteOk('kvmsnap delete web-1 s1');
  expect([names(oldPath(vm)), names(pathOf(vm))]).toEqual([['s1'], []]);
  return {
    virsh: 'exit 0: deletes it in the old file, and it stays in the image in use',
    kvmsnap: `${words}; check --fix registers it with the new path, and then it is deleted there`,
  };
});

hazard(45, 'revert of a running VM whose image was moved since', async () => {
  const [raw, vm] = twins(renameSync, true);
  start(raw);
  const code = act('snapshot-revert', raw);
  const lost = { code: 1, state: 'shut off' };
  const became = since({ '7.0': { code: 0, state: 'running' }, '9.0': lost });
  expect({ code, state: state(raw) }).toEqual(became);
  // its definition names the old path again
  expect(virsh('dumpxml', '--inactive', '--domain', raw.uuid)).toContain(`'${oldPath(raw)}'`);

  start(vm);
  const words = await refusesAndRegisters(vm, 'revert');
  pasteOk('kvmsnap revert web-1 s1');
  expect(state(vm)).toBe('running');
  expect(domainXml(vm)).toContain(`'${pathOf(vm)}'`);
  destroy(vm);
  expect(holds(pathOf(vm), THEN)).toBe(true);
  return {
    virsh: since({
      '7.0': 'reverts it, exit 0, and it cannot be started again: it is defined on the old path',
      '9.0': 'stops the guest, and its memory is lost, exit 1; defines the VM on the old path',
    }),
    kvmsnap: `${words}; check --fix registers it with the new path, and then it is reverted`,
  };
});

hazard(45, 'revert of a VM whose image was copied since, the old file still there', async () => {
  const [raw, vm] = twins(copyFileSync);
  expect(act('snapshot-revert', raw)).toBe(0);
  expect(domainXml(raw)).toContain(`'${oldPath(raw)}'`);
  expect([holds(oldPath(raw), THEN), holds(pathOf(raw), NOW)]).toEqual([true, true]);

  const words = await refusesAndRegisters(vm, 'revert');
  pasteOk('kvmsnap revert web-1 s1');
  expect(domainXml(vm)).toContain(`'${pathOf(vm)}'`);
  expect([holds(oldPath(vm), NOW), holds(pathOf(vm), THEN)]).toEqual([true, true]);
  return {
    virsh: 'exit 0: reverts the old file, and makes the VM use it',
    kvmsnap: `${words}; check --fix registers it with the new path, and then it is reverted there`,
  };
});

const LINKS: readonly (readonly [string, (from: string, to: string) => void])[] = [
  ['a symbolic link', symlinkSync],
  ['a hard link', linkSync],
];
for (const [what, link] of LINKS)
  hazard(45, `image reached through ${what} since`, async (): Promise<Outcome> => {
    const [raw, vm] = twins(link);
    expect([act('snapshot-revert', raw), act('snapshot-delete', raw)]).toEqual([0, 0]);
    expect([holds(pathOf(raw), THEN), names(pathOf(raw))]).toEqual([true, []]);

    const check = await kvmsnap(['check', 'web-1']);
    expect(check.code).toBe(0);
    pasteOk('kvmsnap revert web-1 s1 && kvmsnap delete web-1 s1');
    expect([holds(pathOf(vm), THEN), names(pathOf(vm))]).toEqual([true, []]);
    return {
      virsh: 'works: it is the same file',
      kvmsnap: 'works, and check finds nothing',
    };
  });

hazard(45, 'delete while the VM runs and its disk has another target now', async () => {
  const [raw, vm] = ['twin', 'web-1'].map((name) => {
    const made = taken(name, false);
    const xml = join(scratch, 'target.xml');
    const now = virsh('dumpxml', '--inactive', '--domain', made.uuid)
      .replace("<target dev='vda' bus='virtio'/>", "<target dev='sda' bus='sata'/>")
      .replace(/(<target dev='sda'.*?)<address type='pci'[^>]*>/s, '$1');
    writeFileSync(xml, now);
    virsh('define', xml);
    start(made);
    return made;
  }) as [Vm, Vm];
  const { words } = await refusesAll(vm, 'delete', 'web-1', 's1');
  destroy(vm);
  pasteOk('kvmsnap delete web-1 s1');
  expect(names(pathOf(vm))).toEqual([]);

  const code = act('snapshot-delete', raw);
  const isThere = tryVirsh('list').code === 0;
  expect({ code, isThere }).toEqual(
    since({
      '7.0': { code: 0, isThere: true },
      '9.0': { code: 1, isThere: false },
      '11.3': { code: 1, isThere: true },
    }),
  );
  return {
    virsh: since({ '7.0': 'deletes it, exit 0', '9.0': 'libvirtd crashes', '11.3': 'refuses, exit 1' }),
    kvmsnap: `${words}; it is deleted while the VM is off`,
  };
});

/** A VM with a snapshot of when it ran, whose disk is a volume of the pool `images`. */
function inPool(name: string, directory: string): Vm {
  const made = defineVm({ name, disks: [{ size: '8M' }] });
  const path = join(directory, `${name}.qcow2`);
  renameSync(pathOf(made), path);
  virsh('pool-refresh', 'images');
  const xml = join(scratch, 'volume.xml');
  writeFileSync(
    xml,
    virsh('dumpxml', '--inactive', '--domain', made.uuid)
      .replace("<disk type='file'", "<disk type='volume'")
      .replace(/<source file='[^']*'/, `<source pool='images' volume='${name}.qcow2'`),
  );
  virsh('define', xml);
  const vm = { ...made, disks: [{ target: 'vda', path }] };
  start(vm);
  virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
  return vm;
}

function twinsInPool(): [Vm, Vm] {
  const directory = mkdtempSync(join(scratch, 'pool-'));
  virsh('pool-define-as', 'images', 'dir', '--target', directory);
  virsh('pool-start', 'images');
  const made: [Vm, Vm] = [inPool('twin', directory), inPool('web-1', directory)];
  virsh('pool-destroy', 'images');
  return made;
}

hazard(46, 'revert of a running VM whose disk is a volume of a pool that is not active', async () => {
  const [raw, vm] = twinsInPool();
  const code = act('snapshot-revert', raw);
  expect({ code, state: state(raw) }).toEqual(
    since({ '7.0': { code: 0, state: 'running' }, '9.0': { code: 1, state: 'shut off' } }),
  );

  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1');
  expect(refusal.command).toBe('virsh pool-start images');
  const check = await kvmsnap(['check', 'web-1']);
  expect({ code: check.code, names: check.stdout.includes('virsh pool-start images') }).toEqual({
    code: 5,
    names: true,
  });
  pasteOk(refusal.command);
  pasteOk('kvmsnap revert web-1 s1');
  expect(state(vm)).toBe('running');
  return {
    virsh: since({ '7.0': 'reverts it, exit 0', '9.0': 'stops the guest, and its memory is lost, exit 1' }),
    kvmsnap: `${words}; check says so too, and names what starts the pool`,
  };
});

hazard(46, 'delete and create where the disk is a volume of a pool that is not active, VM off', async () => {
  const [raw, vm] = twinsInPool();
  destroy(raw);
  destroy(vm);
  expect([act('snapshot-delete', raw), act('snapshot-create-as', raw)]).toEqual([1, 1]);

  const { words, refusal } = await refusesAll(vm, 'delete', 'web-1', 's1');
  expect(refusal.command).toBe('virsh pool-start images');
  expect((await refusesAll(vm, 'create-as', 'web-1', 's2')).refusal.command).toBe('virsh pool-start images');
  pasteOk(refusal.command);
  // 7.0 deletes in no volume while the VM is off, and kvmsnap says so
  const { code } = paste('kvmsnap delete web-1 s1');
  expect({ code, tags: names(pathOf(vm)) }).toEqual(
    since({ '7.0': { code: 5, tags: ['s1'] }, '9.0': { code: 0, tags: [] } }),
  );
  return { virsh: 'fails midway, exit 1', kvmsnap: `${words}, and names what starts the pool` };
});
