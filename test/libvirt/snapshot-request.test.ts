import { describe, expect, test } from 'vitest';
import {
  parseSnapshotRequest,
  parseWholeSnapshot,
  withName,
} from '../../src/libvirt/xml/snapshot-request.ts';
import { capture, VERSIONS } from '../captures.ts';

const parse = (xml: string) => parseSnapshotRequest('s.xml', xml);
const NOTHING = { name: null, memory: null, disks: [] };
const diskSpec = (changes: object) => ({
  disk: 'vda',
  location: null,
  file: null,
  driver: null,
  storage: null,
  ...changes,
});

describe('what an XML file asks for', () => {
  test.each([
    ['nothing', '<domainsnapshot/>', NOTHING],
    ['an empty name', '<domainsnapshot><name/><description>x</description></domainsnapshot>', NOTHING],
    ['a name', '<domainsnapshot><name>007 a</name></domainsnapshot>', { ...NOTHING, name: '007 a' }],
    [
      'memory inside',
      "<domainsnapshot><memory snapshot='internal'/></domainsnapshot>",
      { ...NOTHING, memory: { location: 'internal', file: null } },
    ],
    [
      'no memory',
      "<domainsnapshot><memory snapshot='no'/><disks/></domainsnapshot>",
      { ...NOTHING, memory: { location: 'no', file: null } },
    ],
    ['nothing of the memory', '<domainsnapshot><memory/></domainsnapshot>', NOTHING],
    [
      'memory in a file',
      "<domainsnapshot><memory snapshot='external' file='/m,m'/></domainsnapshot>",
      { ...NOTHING, memory: { location: 'external', file: '/m,m' } },
    ],
    [
      'memory in a file, by the file alone',
      "<domainsnapshot><memory file='/m'/></domainsnapshot>",
      { ...NOTHING, memory: { location: null, file: '/m' } },
    ],
    [
      'disks',
      `<domainsnapshot><disks>
         <disk name='vda' snapshot='no'/>
         <disk name='vda' snapshot='external'><driver type='qcow2'/><source file='/o'/></disk>
         <disk name='vda' snapshot='external' type='block'><source dev='/dev/o'/></disk>
         <disk name='vda' type='file'><source/></disk>
         <disk name='vda' snapshot='manual'/>
       </disks></domainsnapshot>`,
      {
        ...NOTHING,
        disks: [
          diskSpec({ location: 'no' }),
          diskSpec({ location: 'external', driver: 'qcow2', file: '/o' }),
          diskSpec({ location: 'external', storage: 'block', file: '/dev/o' }),
          diskSpec({}),
          diskSpec({ location: 'manual' }),
        ],
      },
    ],
  ])('%s', (_, xml, request) => {
    expect(parse(xml)).toEqual(request);
  });

  test.each(VERSIONS)('what libvirt %s prints of one that it has', (version) => {
    const request = parse(capture(version, 'dumpxml-extmem1.out'));
    expect(request).toMatchObject({ name: 'extmem1', memory: { file: '/vm/b-fix.mem' } });
    expect(request.disks.filter(({ location }) => location === 'external').map(({ file }) => file)).toEqual([
      '/vm/b-fix-vda.extmem1',
      '/vm/b-fix-vdb.extmem1',
    ]);
  });
});

test.each(['', 'no XML', '<domain/>', '<domainsnapshot><disks><disk/></disks></domainsnapshot>', '<a', '\0'])(
  'what is no such thing is an error of the user: %j',
  (text) => {
    expect(() => parse(text)).toThrow('s.xml does not contain the XML of a snapshot');
    expect(() => parseWholeSnapshot('s.xml', text)).toThrow('s.xml does not contain the XML of a snapshot');
  },
);

test.each([
  '<domainsnapshot/>',
  '<domainsnapshot></domainsnapshot>',
  "<?xml version='1.0'?>\n<domainsnapshot>\n  <name/>\n  <description>d</description></domainsnapshot>",
  '<domainsnapshot><name> </name><memory file="/m"/></domainsnapshot>',
])('a name is added where there is none: %j', (text) => {
  expect(parse(withName(text, '<a> & $1'))).toEqual({ ...parse(text), name: '<a> & $1' });
});
