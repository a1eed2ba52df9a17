// What a check announces is looked for afterwards: each command that it prints is pasted, and has to do what its sentence says.
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { fullVm, occupied } from '../scene/saving.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { bytes, fitting, movedOn, succeed, THEN, tagNames, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const web = () => defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });

async function findingOf(rule: string, ...options: string[]) {
  const { stdout } = await kvmsnap(['--json', 'check', 'web', ...options]);
  const { domains } = fitting('check', JSON.parse(stdout));
  const found = domains[0]?.findings.find((finding) => finding.rule === rule);
  if (!found) throw new Error(`no ${rule} in ${stdout}`);
  return found;
}

async function pasteAll(rule: string, ...options: string[]): Promise<void> {
  const { commands } = await findingOf(rule, ...options);
  expect(commands).not.toEqual([]);
  for (const command of commands) pasteOk(command);
}

interface Announcement {
  readonly rule: string;
  readonly when: string;
  readonly says: RegExp;
  /** Makes what is to be found; hands back what to look at afterwards. */
  readonly makes: () => Vm | Promise<Vm>;
  /** Does what is announced; by default what it prints is pasted. */
  readonly does?: () => Promise<unknown>;
  readonly isTrue: (vm: Vm) => boolean | Promise<boolean>;
}

/** A tag that libvirt does not know, whole. */
function withOrphan(): Vm {
  const vm = movedOn('web');
  virsh('snapshot-delete', vm.uuid, 's1', '--metadata');
  return vm;
}

/** libvirt knows it, and the image does not. */
function withoutData(): Vm {
  const vm = web();
  take(vm, 's1');
  tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm)]);
  return vm;
}

const overlay = (vm: Vm) => pathOf(vm).replace(/qcow2$/, 'e1');

const ANNOUNCEMENTS: readonly Announcement[] = [
  {
    rule: 'orphan-tag',
    when: 'a tag in one of two disks that libvirt does not know: the command deletes it',
    says: /with the VM off, this deletes the snapshot and its data/,
    makes: () => {
      const vm = withOrphan();
      tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm, 1)]);
      return vm;
    },
    isTrue: (vm) => tagNames(vm).flat().length === 0,
  },
  {
    rule: 'orphan-tag',
    when: 'a tag that libvirt does not know: --fix registers it again',
    says: /this registers the snapshot again; then kvmsnap delete can delete it/,
    makes: withOrphan,
    does: () => succeed('check', 'web', '--fix', '--yes'),
    isTrue: async (vm) => {
      await succeed('revert', 'web', 's1');
      const isBack = snapshotNames(vm).includes('s1') && bytes(vm).every((byte) => byte === THEN);
      await succeed('delete', 'web', 's1');
      return isBack && tagNames(vm).flat().length === 0;
    },
  },
  {
    rule: 'no-data',
    when: 'a snapshot in no disk',
    says: /this unregisters it/,
    makes: withoutData,
    isTrue: (vm) => snapshotNames(vm).length === 0,
  },
  {
    rule: 'no-data',
    when: 'a held snapshot in no disk',
    says: /s1 is on hold: release the hold only if you do not need this snapshot/,
    makes: async () => {
      const vm = withoutData();
      await succeed('hold', 'web', 's1');
      return vm;
    },
    isTrue: (vm) => snapshotNames(vm).length === 0,
  },
  {
    rule: 'missing-tag',
    when: 'a held snapshot that one disk lacks',
    says: /s1 is on hold/,
    makes: async () => {
      const vm = movedOn('web');
      await succeed('hold', 'web', 's1');
      tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm, 1)]);
      return vm;
    },
    isTrue: (vm) => snapshotNames(vm).length === 0 && tagNames(vm).flat().length === 0,
  },
  {
    rule: 'no-current',
    when: 'no current snapshot: the next one has no parent',
    says: /the next snapshot will have no parent/,
    makes: () => {
      const vm = web();
      for (const name of ['s1', 's2']) take(vm, name);
      virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
      virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 's1');
      return vm;
    },
    does: () => succeed('create-as', 'web', 's3'),
    isTrue: (vm) => !snapshotXml(vm, 's3').includes('<parent>'),
  },
  {
    rule: 'moved',
    when: 'an image that was renamed',
    says: /this command registers the snapshot with the new path/,
    makes: () => {
      const vm = web();
      take(vm, 's1');
      const to = join(dirname(pathOf(vm)), 'renamed.qcow2');
      const xml = virsh('dumpxml', '--inactive', vm.uuid).replaceAll(pathOf(vm), to);
      tool('mv', [pathOf(vm), to]);
      const file = join(dirname(to), 'web.xml');
      writeFileSync(file, xml);
      virsh('define', file);
      return { ...vm, disks: [{ target: 'vda', path: to }] };
    },
    does: () => succeed('check', 'web', '--fix', '--yes'),
    isTrue: (vm) => snapshotXml(vm, 's1').includes(pathOf(vm)),
  },
  {
    rule: 'readable-file',
    when: 'an overlay that all may read',
    says: /other users of this host can read it/,
    makes: () => {
      const vm = web();
      take(vm, 'e1', '--disk-only');
      chmodSync(overlay(vm), 0o644);
      return vm;
    },
    isTrue: (vm) => (statSync(overlay(vm)).mode & 0o777) === 0o600,
  },
  {
    rule: 'unused-file',
    when: 'an overlay that nothing uses',
    says: /that neither the VM nor one of its snapshots uses/,
    makes: () => {
      const vm = web();
      take(vm, 's1');
      const file = `${pathOf(vm)}.left`;
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', pathOf(vm), '-F', 'qcow2', file]);
      return vm;
    },
    isTrue: (vm) => !existsSync(`${pathOf(vm)}.left`),
  },
  {
    rule: 'unused-memory',
    when: 'memory that no snapshot refers to',
    says: /with the VM off and a little free space, this gives the space back to the host/,
    makes: async () => {
      const vm = await fullVm('web');
      take(vm, 's1');
      virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
      virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 's1');
      return vm;
    },
    does: async () => {
      const { commands } = await findingOf('unused-memory');
      virsh('destroy', 'web');
      for (const command of commands) pasteOk(command);
    },
    isTrue: (vm) => occupied(vm) < 8 * 1024 * 1024,
  },
  {
    rule: 'too-old',
    when: 'no snapshot that is young enough',
    says: /so none is younger than 26h/,
    makes: web,
    does: () => pasteAll('too-old', '--max-age', '26h', '--label', 'nightly'),
    isTrue: async () =>
      (await kvmsnap(['check', 'web', '--max-age', '26h', '--label', 'nightly'])).code === 0,
  },
  {
    rule: 'used-by-others',
    when: 'an image of two VMs: what would change the data of the other is refused',
    says: /kvmsnap refuses whatever would change that data \(a revert, a merge, the fix of an image\)/,
    makes: () => {
      const vm = web();
      take(vm, 's1');
      defineVm({ name: 'other', disks: [{ source: pathOf(vm) }] });
      return vm;
    },
    does: async () => undefined,
    isTrue: async () => (await kvmsnap(['revert', 'web', 's1', '--force'])).code === 5,
  },
  {
    rule: 'read-only-disk',
    when: 'a read-only disk: no snapshot holds it',
    says: /disk vdb is read-only, so snapshots do not contain it/,
    makes: () => {
      const base = pathOf(defineVm({ name: 'base', disks: [{ size: '8M' }] }));
      return defineVm({ name: 'web', disks: [{ size: '8M' }, { source: base, readonly: true }] });
    },
    does: () => succeed('create-as', 'web', 's1'),
    isTrue: (vm) => !snapshotXml(vm, 's1').includes("<disk name='vdb' snapshot='internal'"),
  },
];

test.each(share(6, ANNOUNCEMENTS))('$when', async ({ rule, says, makes, does, isTrue }) => {
  const vm = await makes();
  const options = rule === 'too-old' ? ['--max-age', '26h', '--label', 'nightly'] : [];
  const { what, hint } = await findingOf(rule, ...options);
  expect(`${what}\n${hint}`).toMatch(says);
  await (does ?? (() => pasteAll(rule)))();
  expect(await isTrue(vm)).toBe(true);
});
