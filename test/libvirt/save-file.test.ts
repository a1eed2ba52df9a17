import { expect, it } from 'vitest';
import { savedVm } from '../../src/libvirt/save-file.ts';

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
