import { expect, test } from 'vitest';
import { overlaidDisks, stateFile } from '../../src/model/snapshot.ts';
import { snapshot } from '../model.ts';

const external = (target: string, source: string) => ({ target, location: 'external', source }) as const;

const MEDIUM = snapshot('e1', {
  disks: [external('vda', '/vm/vda.e1'), external('hda', '/iso/a.e1')],
  definedDisks: [{ target: 'vda', source: '/vm/vda.qcow2', spelled: '/link/vda.qcow2', driver: 'qcow2' }],
  otherDisks: [{ target: 'hda', source: '/iso/a.iso' }],
});

test('libvirt makes the names of overlays of the path that the stored definition spells', () => {
  expect(overlaidDisks(MEDIUM)).toEqual([
    { target: 'vda', path: '/link/vda.qcow2' },
    { target: 'hda', path: '/iso/a.iso' },
  ]);
});

test('what a snapshot keeps of a disk is in the file below its overlay, of a CD-ROM too', () => {
  expect(MEDIUM.disks.map((disk) => stateFile(MEDIUM, disk))).toEqual(['/vm/vda.qcow2', '/iso/a.iso']);
});
