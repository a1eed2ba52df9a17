import { describe, expect, test } from 'vitest';
import { parsePoolDirectory, parseVolume } from '../../../src/libvirt/xml/volume.ts';

/** As libvirt's formatstorage documentation has it. */
const volume = (target: string): string => `<volume type='file'>
  <name>web.qcow2</name>
  <key>/var/lib/libvirt/images/web.qcow2</key>
  <capacity unit='bytes'>67108864</capacity>
  <target>${target}</target>
  <backingStore><path>/vm/base.qcow2</path><format type='raw'/></backingStore>
</volume>
`;

describe('a volume of a storage pool', () => {
  test.each([
    ["<path>/vm/007 &amp;.qcow2</path><format type='qcow2'/>", { path: '/vm/007 &.qcow2', format: 'qcow2' }],
    ['<path>/dev/vg0/web</path>', { path: '/dev/vg0/web', format: null }],
    ["<format type='raw'/>", { path: null, format: 'raw' }],
  ])('%s', (target, known) => {
    expect(parseVolume(volume(target))).toEqual(known);
  });

  test('anything else is no volume', () => {
    expect(() => parseVolume('<pool/>')).toThrow();
  });
});

describe('the directory of a storage pool', () => {
  const pool = (type: string, target: string): string =>
    `<pool type='${type}'><name>images</name><source/>${target}</pool>`;
  const path = '<target><path>/vm/images</path><permissions><mode>0711</mode></permissions></target>';

  test.each([
    ['dir', path, '/vm/images'],
    ['netfs', path, '/vm/images'],
    ['logical', path, '/vm/images'],
    // by-path names of its own, and none at all
    ['iscsi', path, null],
    ['rbd', '', null],
  ])('%s', (type, target, expected) => {
    expect(parsePoolDirectory(pool(type, target))).toBe(expected);
  });
});
