// What a check announces is looked for afterwards: each command that it prints is pasted, and has to do what its sentence says.
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { tool, virsh } from '../lab/lab.ts';
import { cleanUp, defineMachine, type Machine, pathOf } from '../lab/machine.ts';
import { fullMachine, occupied } from '../lab/saving.ts';
import { snapshotNames, snapshotXml } from '../lab/snapshot.ts';
import { pasteOk } from '../lab/evidence.ts';
import { bytes, fitting, movedOn, succeed, THEN, tagNames, take } from '../lab/scene.ts';

afterEach(cleanUp);

const web = () => defineMachine({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });

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
  readonly makes: () => Machine | Promise<Machine>;
  /** Does what is announced; by default what it prints is pasted. */
  readonly does?: () => Promise<unknown>;
  readonly isTrue: (machine: Machine) => boolean | Promise<boolean>;
}

/** A tag that libvirt does not know, whole. */
function withOrphan(): Machine {
  const machine = movedOn('web');
  virsh('snapshot-delete', machine.uuid, 's1', '--metadata');
  return machine;
}

/** libvirt knows it, and the image does not. */
function withoutData(): Machine {
  const machine = web();
  take(machine, 's1');
  tool('qemu-img', ['snapshot', '-d', 's1', pathOf(machine)]);
  return machine;
}

const overlay = (machine: Machine) => pathOf(machine).replace(/qcow2$/, 'e1');

const ANNOUNCEMENTS: readonly Announcement[] = [
  {
    rule: 'orphan-tag',
    when: 'a tag that libvirt does not know: the command deletes it',
    says: /with the machine off, this deletes it/,
    makes: withOrphan,
    isTrue: (machine) => tagNames(machine).flat().length === 0,
  },
  {
    rule: 'orphan-tag',
    when: 'a tag that libvirt does not know: --fix has libvirt know it again',
    says: /kvmsnap check --fix web lets libvirt know it again/,
    makes: withOrphan,
    does: () => succeed('check', 'web', '--fix', '--yes'),
    isTrue: async (machine) => {
      await succeed('revert', 'web', 's1');
      return snapshotNames(machine).includes('s1') && bytes(machine).every((byte) => byte === THEN);
    },
  },
  {
    rule: 'no-data',
    when: 'a snapshot in no disk',
    says: /this has libvirt forget it/,
    makes: withoutData,
    isTrue: (machine) => snapshotNames(machine).length === 0,
  },
  {
    rule: 'no-data',
    when: 'a held snapshot in no disk',
    says: /'s1' is on hold: take the hold back only if you can do without it/,
    makes: async () => {
      const machine = withoutData();
      await succeed('hold', 'web', 's1');
      return machine;
    },
    isTrue: (machine) => snapshotNames(machine).length === 0,
  },
  {
    rule: 'missing-tag',
    when: 'a held snapshot that one disk lacks',
    says: /'s1' is on hold/,
    makes: async () => {
      const machine = movedOn('web');
      await succeed('hold', 'web', 's1');
      tool('qemu-img', ['snapshot', '-d', 's1', pathOf(machine, 1)]);
      return machine;
    },
    isTrue: (machine) => snapshotNames(machine).length === 0 && tagNames(machine).flat().length === 0,
  },
  {
    rule: 'no-current',
    when: 'no current snapshot: the next one has no parent',
    says: /the next one will have no parent/,
    makes: () => {
      const machine = web();
      for (const name of ['s1', 's2']) take(machine, name);
      virsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', 's1');
      virsh('snapshot-delete', '--domain', machine.uuid, '--snapshotname', 's1');
      return machine;
    },
    does: () => succeed('create-as', 'web', 's3'),
    isTrue: (machine) => !snapshotXml(machine, 's3').includes('<parent>'),
  },
  {
    rule: 'moved',
    when: 'an image that was renamed',
    says: /this registers the snapshot with the new path/,
    makes: () => {
      const machine = web();
      take(machine, 's1');
      const to = join(dirname(pathOf(machine)), 'renamed.qcow2');
      const xml = virsh('dumpxml', '--inactive', machine.uuid).replaceAll(pathOf(machine), to);
      tool('mv', [pathOf(machine), to]);
      const file = join(dirname(to), 'web.xml');
      writeFileSync(file, xml);
      virsh('define', file);
      return { ...machine, disks: [{ target: 'vda', path: to }] };
    },
    isTrue: (machine) => snapshotXml(machine, 's1').includes(pathOf(machine)),
  },
  {
    rule: 'readable-file',
    when: 'an overlay that all may read',
    says: /other users of this host may read it/,
    makes: () => {
      const machine = web();
      take(machine, 'e1', '--disk-only');
      chmodSync(overlay(machine), 0o644);
      return machine;
    },
    isTrue: (machine) => (statSync(overlay(machine)).mode & 0o777) === 0o600,
  },
  {
    rule: 'leftover-file',
    when: 'an overlay that nothing uses',
    says: /neither the machine nor a snapshot of it uses it/,
    makes: () => {
      const machine = web();
      take(machine, 's1');
      const file = `${pathOf(machine)}.left`;
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', pathOf(machine), '-F', 'qcow2', file]);
      return machine;
    },
    isTrue: (machine) => !existsSync(`${pathOf(machine)}.left`),
  },
  {
    rule: 'leftover-space',
    when: 'memory that no snapshot refers to',
    says: /with the machine off, and a little space free, this gives them back/,
    makes: async () => {
      const machine = await fullMachine('web');
      take(machine, 's1');
      virsh('snapshot-revert', '--domain', machine.uuid, '--snapshotname', 's1');
      virsh('snapshot-delete', '--domain', machine.uuid, '--snapshotname', 's1');
      return machine;
    },
    does: async () => {
      const { commands } = await findingOf('leftover-space');
      virsh('destroy', 'web');
      for (const command of commands) pasteOk(command);
    },
    isTrue: (machine) => occupied(machine) < 8 * 1024 * 1024,
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
    says: /What would change their data \(a revert, a merge, the fix of an image\) is refused/,
    makes: () => {
      const machine = web();
      take(machine, 's1');
      defineMachine({ name: 'other', disks: [{ source: pathOf(machine) }] });
      return machine;
    },
    does: async () => undefined,
    isTrue: async () => (await kvmsnap(['revert', 'web', 's1', '--force'])).code === 5,
  },
  {
    rule: 'read-only-disk',
    when: 'a read-only disk: no snapshot holds it',
    says: /disk vdb is read-only, and no snapshot holds it/,
    makes: () => {
      const base = pathOf(defineMachine({ name: 'base', disks: [{ size: '8M' }] }));
      return defineMachine({ name: 'web', disks: [{ size: '8M' }, { source: base, readonly: true }] });
    },
    does: () => succeed('create-as', 'web', 's1'),
    isTrue: (machine) => !snapshotXml(machine, 's1').includes("<disk name='vdb' snapshot='internal'"),
  },
];

test.each(ANNOUNCEMENTS)('$when', async ({ rule, says, makes, does, isTrue }) => {
  const machine = await makes();
  const options = rule === 'too-old' ? ['--max-age', '26h', '--label', 'nightly'] : [];
  const { what, hint } = await findingOf(rule, ...options);
  expect(`${what}\n${hint}`).toMatch(says);
  await (does ?? (() => pasteAll(rule)))();
  expect(await isTrue(machine)).toBe(true);
});
