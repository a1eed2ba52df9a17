import { expect, test } from 'vitest';
import { appearanceOf } from '../../src/qemu/appearance.ts';
import { qcow2Header, signature, vmdkDescriptor, vmdkSparse } from './headers.ts';

const of = (bytes: Buffer) =>
  appearanceOf({ size: bytes.length, read: (offset, into) => bytes.copy(into, 0, offset) });

test.each([
  ['nothing', Buffer.alloc(0), null],
  ['zeros', Buffer.alloc(4096), null],
  ['a boot sector', signature('\x55\xaa', 510), null],
  ['a text', Buffer.from('# comment\nversion=4\n'), null],
  ['qcow2', qcow2Header(), { format: 'qcow2', names: [], mayName: false }],
  [
    'qcow2 over a file',
    qcow2Header({ backing: 'nbd://127.0.0.1/x', backingFormat: 'raw' }),
    { format: 'qcow2', names: ['nbd://127.0.0.1/x'], mayName: true },
  ],
  [
    'qcow2 with its data elsewhere',
    qcow2Header({ dataFile: '/etc/shadow' }),
    { format: 'qcow2', names: ['/etc/shadow'], mayName: true },
  ],
  ['the beginning of qcow2', signature('QFI\xfb'), { format: 'qcow2', names: [], mayName: true }],
  ['qcow', signature('QFI\xfb\0\0\0\x01'), { format: 'qcow', names: [], mayName: true }],
  ['qed', signature('QED\0'), { format: 'qed', names: [], mayName: true }],
  [
    'a VMDK descriptor',
    vmdkDescriptor('/etc/shadow'),
    { format: 'vmdk', names: ['/etc/shadow'], mayName: true },
  ],
  ['a VMDK image', vmdkSparse(null), { format: 'vmdk', names: [], mayName: false }],
  [
    'a VMDK image with a parent',
    vmdkSparse('/etc/shadow'),
    { format: 'vmdk', names: ['/etc/shadow'], mayName: true },
  ],
  ['VHDX', signature('vhdxfile'), { format: 'vhdx', names: [], mayName: false }],
  ['VHD', signature('conectix'), { format: 'vpc', names: [], mayName: false }],
  ['VDI', signature('\x7f\x10\xda\xbe', 64), { format: 'vdi', names: [], mayName: false }],
  ['Parallels', signature('WithouFreSpacExt'), { format: 'parallels', names: [], mayName: false }],
  ['LUKS', signature('LUKS\xba\xbe'), { format: 'luks', names: [], mayName: false }],
])('%s', (_, bytes, appearance) => {
  expect(of(bytes)).toEqual(appearance);
});

test.each(['', 'a', 'ab'.repeat(256)])('a name that does not end within the file: %j', (rest) => {
  const bytes = qcow2Header({ backing: '/x' }).subarray(0, 300);
  bytes.writeBigUInt64BE(299n, 8);
  bytes.write(rest, 104);
  expect(of(bytes)).toMatchObject({ format: 'qcow2', mayName: true });
});
