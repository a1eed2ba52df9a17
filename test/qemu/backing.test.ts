import { expect, it } from 'vitest';
import { backingName } from '../../src/qemu/qcow2/backing.ts';

function header(offset: number, length: number, name = 'base 1.qcow2'): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeBigUInt64BE(BigInt(offset), 8);
  bytes.writeUInt32BE(length, 16);
  bytes.write(name, 200);
  return bytes;
}

it('is what stands in the header', () => {
  expect(backingName(header(200, 12))).toBe('base 1.qcow2');
});

it.each([
  ['no file below', header(0, 0)],
  ['a name of no length', header(200, 0)],
  ['a name that lies further on', header(508, 12)],
  ['a name that is too long', header(200, 2 ** 31)],
  ['another format', Buffer.alloc(512)],
  ['an empty file', Buffer.alloc(0)],
])('is null for %s', (_, bytes) => {
  expect(backingName(bytes)).toBeNull();
});
