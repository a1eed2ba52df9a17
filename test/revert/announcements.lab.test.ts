// What kvmsnap announces is looked for afterwards, in the files and in libvirt: each sentence has to come true.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { bytes, fail, NOW, succeed, THEN, tagNames, take, twoDisks, write } from '../scene/steps.ts';
import { cleanUp, defineVm, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const REVERTS_EXTERNAL = since({ '7.0': false, '11.3': true });
const LENGTH = 64 * 1024;

const overlay = (vm: Vm, name: string) => pathOf(vm).replace(/qcow2$/, name);
const inUse = (vm: Vm) => /<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '';
const id = (vm: Vm) => virsh('domid', vm.uuid).trim();
const holds = (path: string, byte: number) => existsSync(path) && hasPattern(path, byte, 0, LENGTH);
const fill = (path: string, byte: number) => writePattern(path, byte, 0, LENGTH);
const web = (...disks: Parameters<typeof defineVm>[0]['disks'] & object) =>
  defineVm({ name: 'web', boot: 'counter', disks: disks.length > 0 ? disks : [{ size: '8M' }] });

/** A VM that is off, on the overlay of `e1`, which holds NOW. */
function onOverlay(): Vm {
  const vm = web();
  take(vm, 'e1', '--disk-only');
  fill(overlay(vm, 'e1'), NOW);
  return vm;
}

interface Announcement {
  readonly says: string | RegExp;
  /** Only for a libvirt that reverts to external snapshots. */
  readonly external?: true;
  readonly when: string;
  /** Does it; hands back what kvmsnap said, and whether it has come true. */
  readonly does: () => Promise<{ readonly said: string; readonly isTrue: boolean }>;
}

const ANNOUNCEMENTS: readonly Announcement[] = [
  {
    when: 'revert to an external snapshot, the current one being external',
    says: /vda\.e1 will be removed, with everything written to it \(--backup keeps it\)/,
    external: true,
    does: async () => {
      const vm = onOverlay();
      const { stderr } = await succeed('revert', 'web', 'e1');
      return { said: stderr, isTrue: !existsSync(overlay(vm, 'e1')) };
    },
  },
  {
    when: 'revert to an external snapshot, the current one being internal',
    says: /vda\.e1 stays, with everything written to it/,
    external: true,
    does: async () => {
      const vm = onOverlay();
      take(vm, 'i2');
      const { stderr } = await succeed('revert', 'web', 'e1');
      return { said: stderr, isTrue: holds(overlay(vm, 'e1'), NOW) };
    },
  },
  {
    when: 'revert to an external snapshot, with a backup',
    says: /vda\.e1 stays, with everything written to it/,
    external: true,
    does: async () => {
      const vm = onOverlay();
      const { stderr } = await succeed('revert', 'web', 'e1', '--backup-name', 'kept');
      await succeed('revert', 'web', 'kept', '--force');
      return { said: stderr, isTrue: holds(inUse(vm), NOW) };
    },
  },
  {
    when: 'revert to an external snapshot, with a medium in the CD-ROM',
    says: /disk hda also gets a new overlay on top of \S*medium\.iso, and uses that from then on/,
    external: true,
    does: async () => {
      const medium = join(dirname(pathOf(web())), 'medium.iso');
      await cleanUp();
      tool('mkdir', ['-p', dirname(medium)]);
      tool('qemu-img', ['create', '-q', '-f', 'raw', medium, '1M']);
      const vm = web({ size: '8M' }, { device: 'cdrom', format: 'raw', source: medium, readonly: true });
      take(vm, 'e1', '--disk-only');
      const { stderr } = await succeed('revert', 'web', 'e1');
      const xml = domainXml(vm);
      return { said: stderr, isTrue: !xml.includes(`<source file='${medium}'`) && xml.includes('/medium.') };
    },
  },
  {
    when: 'revert to an internal snapshot beneath an overlay',
    says: '', // what is refused without --force
    does: async () => {
      const vm = web();
      take(vm, 'i1');
      take(vm, 'e2', '--disk-only');
      fill(overlay(vm, 'e2'), NOW);
      const refusal = await fail(5, 'revert', 'web', 'i1');
      expect(refusal).toMatch(/A revert abandons \S*vda\.e2, with everything written to it/);
      expect(refusal).toContain('the file itself stays');
      const { stderr } = await succeed('revert', 'web', 'i1', '--force');
      return {
        said: stderr,
        isTrue: inUse(vm) === pathOf(vm) && holds(overlay(vm, 'e2'), NOW),
      };
    },
  },
  {
    when: 'revert of a VM that has got a disk since',
    says: /disk vdb is removed from the VM \(the file stays: /,
    does: async () => {
      const vm = web();
      take(vm, 's1');
      const added = join(dirname(pathOf(vm)), 'added.qcow2');
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', added, '4M']);
      fill(added, NOW);
      virsh('attach-disk', vm.uuid, added, 'vdb', '--config', '--subdriver', 'qcow2');
      const { stderr } = await succeed('revert', 'web', 's1');
      return { said: stderr, isTrue: !domainXml(vm).includes(added) && holds(added, NOW) };
    },
  },
  {
    when: 'revert of a running VM to a snapshot of when it was off',
    says: /will be stopped as if its power were cut[\s\S]*the VM will be shut off afterwards/,
    does: async () => {
      const vm = web();
      take(vm, 's1');
      start(vm);
      const { stderr } = await succeed('revert', 'web', 's1');
      return { said: stderr, isTrue: state(vm) === 'shut off' };
    },
  },
  {
    when: 'revert of a running VM to a snapshot with its memory',
    says: since<string | RegExp>({
      '7.0': '',
      '9.0':
        /QEMU will be restarted: [\s\S]*the id of the VM changes[\s\S]*the VM will be running afterwards/,
    }),
    does: async () => {
      const vm = web();
      start(vm);
      take(vm, 's1');
      const before = id(vm);
      const { stderr } = await succeed('revert', 'web', 's1');
      const isAnew = id(vm) !== before;
      return {
        said: stderr,
        isTrue: state(vm) === 'running' && isAnew === stderr.includes('QEMU will be restarted'),
      };
    },
  },
  {
    when: 'revert to a snapshot of a running VM without its memory',
    says: /--running starts the VM from its disks[\s\S]*the VM will be shut off afterwards/,
    external: true,
    does: async () => {
      const vm = web();
      start(vm);
      take(vm, 'e1', '--disk-only');
      const { stderr } = await succeed('revert', 'web', 'e1');
      const isOff = state(vm) === 'shut off';
      await succeed('revert', 'web', 'e1', '--running');
      return { said: stderr, isTrue: isOff && state(vm) === 'running' };
    },
  },
  {
    when: 'an external snapshot that leaves a disk out',
    says: /the snapshot leaves out disk vdb: a revert will not restore the content/,
    external: true,
    does: async () => {
      const vm = twoDisks('web');
      write(vm, THEN);
      const { stderr } = await succeed(
        ...['create-as', 'web', 'e1', '--disk-only', '--diskspec', 'vdb,snapshot=no'],
      );
      writePattern(pathOf(vm, 1), NOW, 1024 * 1024, LENGTH);
      await succeed('revert', 'web', 'e1');
      return { said: stderr, isTrue: bytes(vm)[1] === NOW };
    },
  },
  {
    when: 'a snapshot that libvirt keeps no record of',
    says: /no command can list it, revert to it or delete it, and in the images it counts as an orphan/,
    does: async () => {
      const vm = web();
      const { stderr } = await succeed('create-as', 'web', 's1', '--no-metadata');
      return {
        said: stderr,
        isTrue: snapshotNames(vm).length === 0 && tagNames(vm)[0]?.[0] === 's1',
      };
    },
  },
  {
    when: 'an external snapshot over an internal one',
    says: /snapshot i1 is in \S*vda\.qcow2, below the new overlay\. A revert to it will abandon the overlay/,
    does: async () => {
      const vm = web();
      take(vm, 'i1');
      const { stderr } = await succeed('create-as', 'web', 'e2', '--disk-only', '--force');
      fill(overlay(vm, 'e2'), NOW);
      await succeed('revert', 'web', 'i1', '--force');
      return { said: stderr, isTrue: holds(overlay(vm, 'e2'), NOW) && !holds(inUse(vm), NOW) };
    },
  },
  {
    when: 'a deletion of what libvirt knows alone',
    says: '',
    does: async () => {
      const vm = web();
      take(vm, 's1');
      const { stderr } = await succeed('delete', 'web', 's1', '--metadata');
      return {
        said: stderr,
        isTrue: snapshotNames(vm).length === 0 && tagNames(vm)[0]?.[0] === 's1',
      };
    },
  },
];

test.each(share(5, ANNOUNCEMENTS))('$when', async ({ says, external, does }) => {
  if (external && !REVERTS_EXTERNAL) return;
  const { said, isTrue } = await does();
  expect(said).toMatch(says);
  expect(isTrue).toBe(true);
});
