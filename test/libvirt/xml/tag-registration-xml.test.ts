import { expect, it } from 'vitest';
import { createSnapshotParser } from '../../../src/libvirt/xml/snapshot.ts';
import { type TagRegistration, tagRegistrationXml } from '../../../src/libvirt/xml/tag-registration.ts';
import { storedDefinition, VERSIONS } from '../../captures.ts';
import { disk } from '../../model.ts';

const ADOPTED: TagRegistration = {
  name: "it's <1> & more",
  description: 'two\nlines & <b>',
  createdAtSeconds: 1_700_000_000,
  hasMemory: true,
  parent: "<the parent's>",
};
const DISKS = [disk(), disk({ target: 'hda', device: 'cdrom' }), disk({ target: 'vdc', readonly: true })];

const parse = createSnapshotParser();

it.each(VERSIONS)('reads as what libvirt itself would keep of it (%s)', (version) => {
  const definition = storedDefinition(version);
  const xml = tagRegistrationXml(ADOPTED, DISKS, definition);
  expect(xml).toContain(definition);
  expect(parse(xml)).toMatchObject({
    name: ADOPTED.name,
    description: ADOPTED.description,
    state: 'running',
    parent: ADOPTED.parent,
    createdAtSeconds: 1_700_000_000,
    memory: { location: 'internal', file: null },
    disks: [{ target: 'vda', location: 'internal' }],
  });
  expect(xml).toContain("<disk name='hda' snapshot='no'/>");
  expect(xml).toContain("<disk name='vdc' snapshot='no'/>");
});

it('of a VM that was off, the first of all', () => {
  const xml = tagRegistrationXml(
    { ...ADOPTED, hasMemory: false, parent: null },
    DISKS,
    storedDefinition('9.0.0'),
  );
  expect(parse(xml)).toMatchObject({ state: 'shutoff', parent: null, memory: { location: 'no' } });
});
