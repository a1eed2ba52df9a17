import { describe, expect, test } from 'vitest';
import { isActive, isSaving, takesPart } from '../../src/model/domain.ts';
import { hasMemory, internalDisks, locationOf } from '../../src/model/snapshot.ts';
import { disk, snapshot } from '../model.ts';

describe('a VM', () => {
  test.each([
    ['running', true],
    ['paused', true],
    ['pmsuspended', true],
    ['shutdown', true],
    ['a state of the future', true],
    ['shutoff', false],
    ['crashed', false],
  ])('that is %s has a QEMU: %s', (state, active) => {
    expect(isActive(state)).toBe(active);
  });

  test.each([
    ['paused', 'saving', true],
    ['paused', 'creating snapshot', true],
    ['paused', 'user', false],
    ['running', 'saving', false],
  ])('%s (%s) is being saved: %s', (state, stateReason, saving) => {
    expect(isSaving({ state, stateReason })).toBe(saving);
  });
});

describe('a disk', () => {
  test.each([
    ['with an image', {}, true],
    ['on the network', { storage: 'network', source: null }, true],
    ['read-only', { readonly: true }, false],
    ['cdrom with a medium', { device: 'cdrom' }, false],
    ['floppy with a medium', { device: 'floppy' }, true],
    ['floppy without', { device: 'floppy', source: null, hasSource: false }, false],
    ['excluded by the XML, which libvirt then refuses', { snapshot: 'no' }, true],
  ] as const)('%s', (_, changes, part) => {
    expect(takesPart(disk(changes))).toBe(part);
  });
});

describe('a snapshot', () => {
  const external = { target: 'vdb', location: 'external', source: '/vm/vdb.s1' };
  const internal = { target: 'vda', location: 'internal', source: '/vm/vda.qcow2' };

  test.each([
    ['internal', {}, 'internal', false],
    ['with memory in the image', { memory: { location: 'internal', file: null } }, 'internal', true],
    ['with one external disk', { disks: [internal, external] }, 'external', false],
    ['with memory in a file', { memory: { location: 'external', file: '/vm/s1.mem' } }, 'external', true],
  ] as const)('%s', (_, changes, location, memory) => {
    expect([locationOf(snapshot('s1', changes)), hasMemory(snapshot('s1', changes))]).toEqual([
      location,
      memory,
    ]);
  });

  test('has its tag in the internal disks only', () => {
    expect(internalDisks(snapshot('s1', { disks: [internal, external] }))).toEqual([internal]);
  });
});
