// Images that are not what the VM's XML says: raw virsh, then kvmsnap, then its advice.
import { rmSync } from 'node:fs';
import { afterAll, afterEach, expect } from 'vitest';
import { pasteOk } from '../lab/evidence.ts';
import { tool } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { hasPattern, imageInfo, writePattern } from '../scene/disk.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';
import { type Hazard, shown } from './promise/advice.ts';
import { hazard } from './promise/promise.ts';

const SIZE = '4M';

afterEach(cleanUp);
afterAll(cleanUp);

const REFUSED = /internal snapshot for disk vda unsupported for storage type raw\n/;
const fill = (vm: Vm) => writePattern(pathOf(vm), 0x33, MiB, MiB);
const edit = () => `virsh edit 'web 1'\\''s'`;
const conversion = (format: string) => (vm: Vm) =>
  `qemu-img convert -f ${format} -O qcow2 ${pathOf(vm)} ${pathOf(vm)}.new`;
/** Converts, and gives the VM the new file. */
const convertAndName: Hazard['fix'] = (vm, { command }) => {
  pasteOk(command);
  pasteOk(edit(), 's|vda.qcow2|vda.qcow2.new|');
  expect(hasPattern(`${pathOf(vm)}.new`, 0x33, MiB, MiB)).toBe(true);
};
/** Puts a file of another format in the place of the disk's. */
const replaceBy = (format: string) => (vm: Vm) => {
  tool('qemu-img', ['create', '-q', '-f', format, '--', pathOf(vm), SIZE]);
  fill(vm);
};

const ANOTHER_FORMAT: readonly Hazard[] = [
  {
    what: 'qcow2 file that is raw in the XML',
    spec: { disks: [{ driver: 'raw', size: SIZE }] },
    virsh: REFUSED,
    says: (m) => [`disk vda (${pathOf(m)}): the VM's XML says raw, and the file looks like qcow2`],
    hint: "if the guest wrote this header, do not change the type. Only if you have put a qcow2 image there yourself, set <driver name='qemu' type='qcow2'/> for vda, with the VM off",
    command: edit,
    fix: (_, { command }) => void pasteOk(command, `s|type='raw'|type='qcow2'|`),
  },
  {
    // libvirt fills it in: the XML that virsh prints says raw
    what: 'qcow2 file for which the XML names no driver',
    spec: { disks: [{ driver: null, size: SIZE }] },
    virsh: REFUSED,
    says: (m) => [`disk vda (${pathOf(m)}): the VM's XML says raw, and the file looks like qcow2`],
    command: edit,
    fix: (_, { command }) => void pasteOk(command, `s|type='raw'|type='qcow2'|`),
  },
  {
    what: 'raw file that is qcow2 in the XML',
    spec: { disks: [{ size: SIZE }] },
    prepare: replaceBy('raw'),
    virsh: /qemu-img snapshot -c s1 .* unexpected exit status 1/,
    says: (m) => [`disk vda (${pathOf(m)}): the file is raw, but the VM's XML says qcow2`],
    hint: "convert it with the VM off, then set the path of the new file in the VM's XML",
    command: conversion('raw'),
    fix: convertAndName,
  },
  {
    what: 'vmdk file that is qcow2 in the XML',
    spec: { disks: [{ size: SIZE }] },
    prepare: replaceBy('vmdk'),
    virsh: /qemu-img snapshot -c s1 .* unexpected exit status 1/,
    says: (m) => [`disk vda (${pathOf(m)}): the file is vmdk, but the VM's XML says qcow2`],
    command: conversion('vmdk'),
    fix: convertAndName,
  },
];

for (const row of ANOTHER_FORMAT) hazard(13, row.what, () => shown(row));

hazard(24, 'missing backing file that qemu-img info does not report', () => {
  const base = pathOf(defineVm({ name: 'base', disks: [{ size: SIZE }] }));
  writePattern(base, 0x33, MiB, MiB);
  return shown({
    what: '',
    spec: { disks: [{ size: SIZE }, { backing: base }] },
    prepare: (m) => {
      tool('cp', ['--', base, `${pathOf(m)}.base`]);
      tool('qemu-img', ['rebase', '-u', '-F', 'qcow2', '-b', `${pathOf(m)}.base`, '--', pathOf(m, 1)]);
      rmSync(`${pathOf(m)}.base`);
      expect(imageInfo(pathOf(m, 1)).format).toBe('qcow2');
    },
    virsh: /Could not open backing file/,
    says: (m) => [`disk vdb: ${pathOf(m)}.base, in the backing chain of ${pathOf(m, 1)}, is missing`],
    hint: 'record the right file in the image on top of it with qemu-img rebase -u -f qcow2 -F FORMAT -b',
    command: null,
    fix: (m) => {
      pasteOk(`qemu-img rebase -u -f qcow2 -F qcow2 -b ${base} ${pathOf(m, 1)}`);
      expect(hasPattern(pathOf(m, 1), 0x33, MiB, MiB)).toBe(true);
    },
  });
});
