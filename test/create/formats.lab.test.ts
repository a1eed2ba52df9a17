// Images that an internal snapshot cannot be in: what raw virsh makes of them, what kvmsnap says, that its advice helps.
import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { afterAll, afterEach, expect, test } from 'vitest';
import { type Hazard, showHazard } from '../hazards/promise/advice.ts';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { isSystemLab, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { hasPattern, hasPatternIn, imageInfo, tags, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

const SIZE = '4M';

afterEach(cleanUp);
afterAll(cleanUp);

const unsupported = (target: string, format: string) =>
  new RegExp(`internal snapshot for disk ${target} unsupported for storage type ${format}\\n`);
const fill = (vm: Vm) => writePattern(pathOf(vm), 0x33, MiB, MiB);
const edit = () => `virsh edit 'web 1'\\''s'`;
/** The first disk's file, with another ending. */
const renamed = (vm: Vm, ending: string) => pathOf(vm).replace(/\.\w+$/, `.${ending}`);
const conversion = (format: string, ending: string) => (vm: Vm) =>
  `qemu-img convert -f ${format} -O qcow2 ${pathOf(vm)} ${renamed(vm, ending)}`;
/** Converts, and gives the VM the new file. */
const convertAndName =
  (from: string, to: string): Hazard['fix'] =>
  (vm, { command }) => {
    pasteOk(command);
    pasteOk(edit(), `s|vda.${from}|vda.${to}|; s|type='${from}'|type='qcow2'|`);
    expect(imageInfo(renamed(vm, to)).format).toBe('qcow2');
    expect(hasPattern(renamed(vm, to), 0x33, MiB, MiB)).toBe(true);
  };
const NAME_IT = "then set the path of the new file and <driver name='qemu' type='qcow2'/> in the VM's XML";

const HAZARDS: readonly Hazard[] = [
  {
    what: 'raw file',
    spec: { disks: [{ format: 'raw', size: SIZE }] },
    prepare: fill,
    virsh: unsupported('vda', 'raw'),
    says: (m) => [`disk vda (${pathOf(m)}) is raw, and internal snapshots need qcow2`],
    hint: NAME_IT,
    command: conversion('raw', 'qcow2'),
    fix: convertAndName('raw', 'qcow2'),
  },
  {
    what: 'vmdk file',
    spec: { disks: [{ format: 'vmdk', size: SIZE }] },
    prepare: fill,
    virsh: unsupported('vda', 'vmdk'),
    says: (m) => [`disk vda (${pathOf(m)}) is vmdk, and internal snapshots need qcow2`],
    hint: NAME_IT,
    command: conversion('vmdk', 'qcow2'),
    fix: convertAndName('vmdk', 'qcow2'),
  },
  {
    what: 'raw file beside one that is called as its copy would be',
    spec: { disks: [{ format: 'raw', size: SIZE }] },
    prepare: (m) => {
      fill(m);
      writeFileSync(renamed(m, 'qcow2'), 'of somebody else');
    },
    virsh: unsupported('vda', 'raw'),
    says: (m) => [`disk vda (${pathOf(m)}) is raw, and internal snapshots need qcow2`],
    command: conversion('raw', 'qcow2.new'),
    fix: (m, refusal) => {
      convertAndName('raw', 'qcow2.new')?.(m, refusal);
      expect(readFileSync(renamed(m, 'qcow2'), 'utf8')).toBe('of somebody else');
    },
  },
  {
    what: 'raw second disk',
    spec: { disks: [{ size: SIZE }, { format: 'raw', size: SIZE }] },
    virsh: unsupported('vdb', 'raw'),
    says: (m) => [`disk vdb (${pathOf(m, 1)}) is raw, and internal snapshots need qcow2`],
    command: (m) => conversion('raw', 'qcow2')({ ...m, disks: m.disks.slice(1) }),
    fix: (_, { command }) => {
      pasteOk(command);
      pasteOk(edit(), `s|vdb.raw|vdb.qcow2|; s|type='raw'|type='qcow2'|`);
    },
  },
  {
    what: 'cdrom and read-only disks alone',
    spec: {
      disks: [
        { device: 'cdrom', format: 'raw', source: null },
        { size: SIZE, readonly: true },
      ],
    },
    virsh: /nothing selected for snapshot/,
    says: () => [
      'the VM has no disk that a snapshot could contain (CD-ROMs and read-only disks are left out)',
    ],
    command: null,
    fix: null,
  },
  {
    what: 'missing file',
    spec: { disks: [{ size: SIZE }] },
    prepare: (m) => renameSync(pathOf(m), `${pathOf(m)}.away`),
    virsh: /No such file or directory/,
    says: (m) => [`disk vda: ${pathOf(m)} is missing`],
    hint: "restore the file, or correct the path in the VM's XML",
    command: edit,
    fix: (m) => renameSync(`${pathOf(m)}.away`, pathOf(m)),
  },
  {
    what: 'empty file that the XML calls qcow2',
    spec: { disks: [{ size: SIZE }] },
    prepare: (m) => closeSync(openSync(pathOf(m), 'w')),
    virsh: /qemu-img snapshot -c s1 .* unexpected exit status 1/,
    says: (m) => [`disk vda (${pathOf(m)}): the file is raw, but the VM's XML says qcow2`],
    command: conversion('raw', 'qcow2.new'),
    fix: null,
  },
  {
    what: 'image with its data in another file',
    spec: { disks: [{ size: SIZE }] },
    prepare: (m) => {
      const options = `data_file=${renamed(m, 'data')}`;
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, '--', pathOf(m), SIZE]);
      fill(m);
    },
    virsh: since({ '7.0': /Could not create snapshot 's1': -95/, '11.3': /'s1': Operation not supported/ }),
    says: (m) => [`disk vda (${pathOf(m)}): the image keeps its data in ${renamed(m, 'data')}`],
    command: conversion('qcow2', 'qcow2.new'),
    fix: convertAndName('qcow2', 'qcow2.new'),
  },
  {
    what: 'image with refcount_bits=1',
    spec: { disks: [{ size: SIZE }] },
    prepare: (m) => {
      const options = 'refcount_bits=1,cluster_size=4k'; // amend takes 13 s where clusters are large
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, '--', pathOf(m), SIZE]);
      fill(m);
    },
    virsh: since({ '7.0': /Could not create snapshot 's1': -22/, '11.3': /'s1': Invalid argument/ }),
    says: (m) => [`disk vda (${pathOf(m)}): the image has refcount_bits=1`],
    command: (m) => `qemu-img amend -f qcow2 -o refcount_bits=16 ${pathOf(m)}`,
    fix: (_, { command }) => void pasteOk(command),
  },
  {
    what: 'image that is marked corrupt',
    spec: { disks: [{ size: SIZE }] },
    prepare: (m) => {
      fill(m);
      const file = openSync(pathOf(m), 'r+');
      writeSync(file, Buffer.of(2), 0, 1, 79); // incompatible features, bit 1
      closeSync(file);
    },
    virsh: /Image is corrupt/,
    says: (m) => [`disk vda (${pathOf(m)}): the image is marked corrupt`],
    hint: /^restore the image from a backup; or, with the VM off, copy its present content/,
    command: (m) => `qemu-img convert -f qcow2 -O qcow2 ${pathOf(m)} ${pathOf(m)}.copy`,
    fix: (m, { command }) => {
      pasteOk(command);
      renameSync(`${pathOf(m)}.copy`, pathOf(m));
    },
  },
];

test.each(
  share(
    4,
    HAZARDS.map((hazard) => [hazard.what, hazard] as const),
  ),
)('%s', (_, hazard) => showHazard(hazard));

test('advice for a file whose name a shell would take apart', async () => {
  const path = pathOf(defineVm({ name: 'raw', disks: [{ format: 'raw', size: SIZE }] }));
  const awkward = path.replace('vda.raw', `it's a disk; $(id) 磁盘,v1.img`);
  renameSync(path, awkward);
  writePattern(awkward, 0x33, MiB, MiB);
  const spec = { disks: [{ source: awkward, format: 'raw' }] };
  const target = awkward.replace('.img', '.qcow2');
  const quoted = (name: string) => `'${name.replaceAll("'", "'\\''")}'`;
  await showHazard({
    what: '',
    spec,
    virsh: unsupported('vda', 'raw'),
    says: () => [`disk vda (${awkward}) is raw`],
    command: () => `qemu-img convert -f raw -O qcow2 ${quoted(awkward)} ${quoted(target)}`,
    fix: (_, { command }) => {
      pasteOk(command);
      pasteOk(edit(), `s|v1.img|v1.qcow2|; s|type='raw'|type='qcow2'|`);
    },
  });
  expect(hasPatternIn(target, 's1', 0x33, MiB, MiB)).toBe(true);
});

test.runIf(isSystemLab)('a raw block device (root makes it)', () =>
  showHazard({
    what: '',
    spec: { disks: [{ backend: 'block', format: 'raw', size: SIZE }] },
    prepare: fill,
    virsh: unsupported('vda', 'raw'),
    says: (m) => [`disk vda (${pathOf(m)}) is raw, and internal snapshots need qcow2`],
    hint: /let LVM take the snapshot of the raw logical volume, .* or convert the volume to a qcow2 file/,
    command: (m) =>
      `lvcreate --snapshot --size 10G --name ${pathOf(m).replace('/dev/', '')}-snapshot ${pathOf(m)}`,
    fix: (m) => {
      const file = pasteOk(`losetup --noheadings --output BACK-FILE ${pathOf(m)}`).trim();
      pasteOk(`qemu-img convert -f raw -O qcow2 ${pathOf(m)} ${file}.qcow2`);
      pasteOk(
        edit(),
        `s|type='block'|type='file'|; s|dev='/dev/loop[0-9]*'|file='${file}.qcow2'|; s|type='raw'|type='qcow2'|`,
      );
      expect(hasPattern(`${file}.qcow2`, 0x33, MiB, MiB)).toBe(true);
    },
  }),
);

test.runIf(isSystemLab)('qcow2 on a block device (root makes it) works, and grows into it', async () => {
  const vm = defineVm({ name: 'web-1', disks: [{ backend: 'block', size: '8M' }], boot: 'idle' });
  fill(vm);
  virsh('start', vm.uuid);
  expect((await kvmsnap(['create-as', 'web-1', 's1'])).code).toBe(0);
  virsh('destroy', vm.uuid);
  writePattern(pathOf(vm), 0x44, MiB, MiB);
  expect(hasPatternIn(pathOf(vm), 's1', 0x33, MiB, MiB)).toBe(true);
  expect(tags(pathOf(vm))[0]?.vmStateSize).toBeGreaterThan(100_000);
  expect(snapshotNames(vm)).toEqual(['s1']);
});
