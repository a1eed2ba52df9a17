// VMs of which a snapshot cannot be taken, or not as one thinks: raw virsh, then kvmsnap, then its advice.

import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { paste, pasteOk } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { hasPatternIn, tags, writePattern } from '../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, type Vm } from '../scene/vm.ts';
import { type Hazard, shown } from './promise/advice.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

const SMALL = { size: '4M' };
const NAME = `'web 1'\\''s'`;

afterEach(cleanUp);
afterAll(cleanUp);

/** The guest obeys: ours knows no power button. */
const shutDown: Hazard['fix'] = (vm, { command }) => {
  pasteOk(command);
  destroy(vm);
};

const SHARED_MEMORY = `<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>`;
const VIRTIOFS = `<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/>
  <source dir='${scratch}'/><target dir='share'/></filesystem>`;
const OS = `<os><type arch='x86_64' machine='pc'>hvm</type></os>`;

const UEFI: Pick<Hazard, 'spec' | 'prepare'> = {
  spec: {
    disks: [SMALL],
    osXml: `<os><type arch='x86_64' machine='q35'>hvm</type>
      <loader readonly='yes' type='pflash'>${scratch}/code.fd</loader><nvram>${scratch}/vars.fd</nvram></os>`,
  },
  prepare: () => tool('truncate', ['--size=1M', join(scratch, 'code.fd'), join(scratch, 'vars.fd')]),
};
const NO_PFLASH = /internal snapshots of a VM with pflash based firmware are not supported/;
const BEFORE_10_9 =
  'UEFI firmware, and this libvirtd (before 10.9) cannot take an internal snapshot of such a VM';
const NVRAM_LEFT_OUT = /^warning: the UEFI NVRAM .* is raw and will NOT be part of the snapshot\n$/;

const HAZARDS: readonly (Hazard & { readonly hazard: number })[] = [
  {
    hazard: 12,
    what: "disk with snapshot='external'",
    spec: { disks: [{ ...SMALL, snapshot: 'external' }] },
    virsh: null,
    harm: 'makes an external snapshot',
    virshLeft: (twin) => {
      expect(snapshotXml(twin, 's1')).toContain("<disk name='vda' snapshot='external' type='file'>");
      expect(domainXml(twin)).toContain(`<source file='${pathOf(twin).replace('.qcow2', '.s1')}'`);
    },
    says: () => [
      "disk vda: the VM's XML says snapshot='external', so libvirt would make an external snapshot",
    ],
    hint: "remove snapshot='external' from disk vda",
    command: () => `virsh edit ${NAME}`,
    fix: (_, { command }) => void pasteOk(command, "s| snapshot='external'||"),
  },
  {
    hazard: 26,
    what: "disk with snapshot='no'",
    spec: { disks: [SMALL, { ...SMALL, snapshot: 'no' }] },
    virsh: /require all disks to be selected for snapshot/,
    says: () => [
      "disk vdb: the VM's XML says snapshot='no', but an internal snapshot needs every writable disk",
    ],
    hint: "remove snapshot='no' from disk vdb in the XML, or make the disk <readonly/>",
    command: () => `virsh edit ${NAME}`,
    fix: (_, { command }) => void pasteOk(command, "s| snapshot='no'||"),
  },
  {
    hazard: 26,
    what: "disk with snapshot='no', made read-only",
    spec: { disks: [SMALL, { ...SMALL, snapshot: 'no' }] },
    running: true,
    virsh: /require all disks to be selected for snapshot/,
    says: () => ["disk vdb: the VM's XML says snapshot='no'"],
    command: () => `virsh edit ${NAME}`,
    fix: (vm, { command }) => {
      pasteOk(command, "/dev='vdb'/s|$|<readonly/>|");
      destroy(vm);
      start(vm);
    },
  },
  {
    hazard: 26,
    what: 'floppy image',
    spec: { disks: [SMALL, { device: 'floppy', format: 'raw', size: '1440K' }] },
    virsh: /internal snapshot for disk fda unsupported for storage type raw/,
    says: (m) => [`disk fda (${pathOf(m, 1)}) is raw`],
    hint: 'eject the floppy fda, or make it <readonly/>',
    command: null,
    fix: (m) => void virsh('change-media', m.uuid, 'fda', '--eject', '--config'),
  },
  {
    hazard: 26,
    what: 'read-only raw disk of a VM that is off',
    spec: { disks: [SMALL, { ...SMALL, format: 'raw', readonly: true }] },
    virsh: since({ '7.0': /Disk device 'vdb' does not support snapshotting/, '9.0': null }),
    taken: since({ '7.0': false, '9.0': true }),
    says: () => ['disk vdb is raw', 'although the disk is read-only'],
    hint: 'start the VM first, or use --force to try',
    command: () => `virsh start ${NAME}`,
    fix: (_, { command }) => void pasteOk(command),
  },
  {
    hazard: 30,
    what: 'transient disk of a running VM',
    spec: { disks: [SMALL, { ...SMALL, extraXml: '<transient/>' }] },
    running: true,
    virsh: /migration with transient disk is not supported/,
    says: () => ['disk vdb is <transient/>'],
    command: () => `virsh shutdown ${NAME}`,
    fix: shutDown,
  },
  {
    hazard: 30,
    what: 'block job',
    spec: { disks: [SMALL, SMALL] },
    running: true,
    provoke: (m) => {
      const target = `${pathOf(m, 1)}.copy`;
      virsh('blockcopy', m.uuid, 'vdb', '--dest', target, '--transient-job');
    },
    virsh: /disk 'vdb' already in active block job/,
    says: () => ['disk vdb: a block job (copy, commit or pull) is running'],
    hint: /wait until it has finished, or abort it/,
    command: () => `virsh blockjob ${NAME} vdb --abort`,
    fix: (_, { command }) => void pasteOk(command),
  },
  {
    hazard: 30,
    what: 'virtiofs share of a running VM',
    spec: { disks: [SMALL], osXml: SHARED_MEMORY + OS, extraDevicesXml: VIRTIOFS },
    running: true,
    virsh: since({
      '7.0': /migration with virtiofs device is not supported/,
      '9.0': /non-migratable device/,
      '11.3': null,
    }),
    taken: since({ '7.0': false, '11.3': true }),
    says: () => ['the VM shares a file system by virtiofs'],
    hint: 'shut the VM down first, detach the share',
    command: () => `virsh shutdown ${NAME}`,
    fix: shutDown,
  },
  {
    hazard: 15,
    what: 'UEFI VM that is off',
    ...UEFI,
    virsh: since({ '7.0': NO_PFLASH, '11.3': null }),
    harm: 'takes it without the NVRAM, exit 0',
    taken: since({ '7.0': false, '11.3': true }),
    says: () => [BEFORE_10_9],
    command: null,
    fix: null,
    warns: NVRAM_LEFT_OUT,
  },
  {
    hazard: 15,
    what: 'UEFI VM that is running',
    ...UEFI,
    running: true,
    virsh: since({ '7.0': NO_PFLASH, '11.3': /require QCOW2 nvram format/ }),
    says: () => since({ '7.0': [BEFORE_10_9], '11.3': ['NVRAM in raw format', 'needs NVRAM in qcow2'] }),
    command: since({ '7.0': null, '11.3': () => `virsh shutdown ${NAME}` }),
    fix: since({ '7.0': null, '11.3': shutDown }),
    warns: NVRAM_LEFT_OUT,
  },
];

for (const row of HAZARDS) hazard(row.hazard, row.what, () => shown(row));

hazard(11, 'create while there is a managed save', async () => {
  function saved(name: string): Vm {
    const vm = defineVm({ name, disks: [SMALL], boot: 'counter' });
    writePattern(pathOf(vm), 0x11, MiB, MiB);
    start(vm);
    virsh('managedsave', vm.uuid);
    return vm;
  }

  const twin = saved('twin');
  expect(tryVirsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1')).toMatchObject({
    code: 0,
    stderr: '',
  });
  expect(tags(pathOf(twin))[0]?.vmStateSize).toBe(0);

  const vm = saved('web-1');
  const { code, stderr } = await kvmsnap(['create-as', 'web-1', 'disks']);
  expect(code).toBe(0);
  expect(stderr).toMatch(
    /^warning: the VM's memory is in a managed save, which will NOT be part of the snapshot: .*\n$/,
  );
  expect(tags(pathOf(vm))).toEqual([{ id: '1', name: 'disks', vmStateSize: 0 }]);
  expect(hasPatternIn(pathOf(vm), 'disks', 0x11, MiB, MiB)).toBe(true);

  start(vm);
  expect(await kvmsnap(['create-as', 'web-1', 'memory'])).toMatchObject({ code: 0, stderr: '' });
  expect(tags(pathOf(vm))[1]?.vmStateSize).toBeGreaterThan(100_000);
  expect(snapshotNames(vm)).toEqual(['disks', 'memory']);
  return {
    virsh: 'takes the disks without the saved memory, exit 0',
    kvmsnap: 'takes the disks, and warns; its advice takes both',
  };
});

hazard(49, 'a shareable raw disk, VM off', async () => {
  const disks = [{ size: '4M' }, { size: '4M', format: 'raw', extraXml: '<shareable/>' }];
  const [twin, vm] = [defineVm({ name: 'twin', disks }), defineVm({ name: 'web-1', disks })];
  const raw = (...options: string[]) => tryVirsh('snapshot-create-as', twin.uuid, 's1', ...options).code;
  expect([raw(), raw('--disk-only')]).toEqual([1, 1]);

  const advised = [];
  for (const options of [[], ['--disk-only']]) {
    const { refusal } = await refusesAll(vm, 'create-as', 'web-1', 's1', ...options, '--force');
    advised.push(refusal.findings.find(({ message }) => message.includes('vdb'))?.commands);
  }
  const command = 'kvmsnap create-as --disk-only --diskspec vdb,snapshot=no web-1 without-vdb';
  expect(advised).toEqual([[command], [command]]);
  // before 9.9 there is no way back, which --force passes
  const { code } = paste(`${command}${since({ '7.0': ' --force', '9.9': '' })}`);
  expect(code).toBe(0);
  expect(snapshotNames(vm)).toEqual(['without-vdb']);
  expect(domainXml(vm)).toContain(`'${pathOf(vm, 1)}'`);
  return {
    virsh: 'fails, exit 1, without saying how to fix it',
    kvmsnap: 'refuses, exit 5, nothing changed; its advice works',
  };
});
