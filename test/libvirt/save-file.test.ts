import { expect, it } from 'vitest';
import { savedStream, savedVm, saveHead } from '../../src/libvirt/save-file.ts';

const UUID = '423f4d57-8887-409e-a29c-e2ee1690a61b';

const file = (magic: string, xml: string) =>
  Buffer.concat([Buffer.from(magic.padEnd(92, '\0')), Buffer.from(xml)]);

it.each([
  ['LibvirtQemudSave', UUID],
  ['LibvirtQemudPart', UUID],
  ['LibvirtQemudXXXX', null],
  ['', null],
])('of a file that begins with %j', (magic, uuid) => {
  expect(savedVm(file(magic, `<domain>\n  <uuid>${UUID}</uuid>`))).toBe(uuid);
});

it('of one that is cut off', () => {
  expect(savedVm(file('LibvirtQemudSave', '<domain>'))).toBeNull();
  expect(savedVm(Buffer.alloc(0))).toBeNull();
});

it('the stream begins after the XML, with its compression', () => {
  const head = saveHead('<domain/>', 3);
  expect(savedStream(head)).toEqual({ offset: head.length, compression: 3 });
});

it.each([
  ['an unfinished one', (head: Buffer) => head.write('LibvirtQemudPart'), /not a complete file/],
  ['one of another version', (head: Buffer) => head.writeUInt32LE(3, 16), /does not know/],
  ['a sparse one', (head: Buffer) => head.writeUInt32LE(6, 28), /does not know/],
])('not of %s', (_, change, expected) => {
  const head = Buffer.from(saveHead('<domain/>', 0));
  change(head);
  expect(savedStream(head)).toMatch(expected);
});

it('not of one that is cut off', () => {
  expect(savedStream(saveHead('<domain/>', 0).subarray(0, 91))).toMatch(/not a complete file/);
});
