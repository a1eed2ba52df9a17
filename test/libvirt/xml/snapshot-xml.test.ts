import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSnapshotParser, withDescription, withPaths } from '../../../src/libvirt/xml/snapshot.ts';
import { rfc3339 } from '../../../src/output/format.ts';
import { anyCharacter } from '../../any-name.ts';
import { capture, VERSIONS } from '../../captures.ts';

const parse = (xml: string) => createSnapshotParser()(xml);

const disks = (location: string, ending: string) =>
  ['vda', 'vdb'].map((target) => ({ target, location, source: `/vm/b-fix-${target}.${ending}` }));
const defined = (ending: string) =>
  ['vda', 'vdb'].map((target) => ({ target, source: `/vm/b-fix-${target}.${ending}`, driver: 'qcow2' }));

describe.each(VERSIONS)('libvirt %s', (version) => {
  const SECONDS = expect.closeTo(1_795_426_500, -2);

  test.each([
    {
      file: 'dumpxml-off1.out',
      snapshot: {
        name: 'off1',
        description: 'first <&> "快照"',
        state: 'shutoff',
        parent: null,
        createdAtSeconds: SECONDS,
        memory: { location: 'no', file: null },
        disks: disks('internal', 'qcow2'),
        definedDisks: defined('qcow2'),
      },
    },
    {
      file: 'dumpxml-run1.out',
      snapshot: {
        name: 'run1',
        description: 'two\nlines',
        state: 'running',
        parent: expect.stringMatching(/^17954\d{5}$/),
        createdAtSeconds: SECONDS,
        memory: { location: 'internal', file: null },
        disks: disks('internal', 'qcow2'),
        definedDisks: defined('qcow2'),
      },
    },
    {
      file: 'dumpxml-ext1.out',
      snapshot: {
        name: 'ext1',
        description: null,
        state: 'disk-snapshot',
        parent: 'run1',
        createdAtSeconds: SECONDS,
        memory: { location: 'no', file: null },
        disks: disks('external', 'ext1'),
        definedDisks: defined('qcow2'),
      },
    },
    {
      file: 'dumpxml-extmem1.out',
      snapshot: {
        name: 'extmem1',
        description: null,
        state: 'running',
        parent: 'ext1',
        createdAtSeconds: SECONDS,
        memory: { location: 'external', file: '/vm/b-fix.mem' },
        disks: disks('external', 'extmem1'),
        definedDisks: defined('ext1').map((disk) => ({
          ...disk,
          backing: [disk.source.replace('ext1', 'qcow2')],
        })),
      },
    },
  ])('$file', ({ file, snapshot }) => {
    const { otherDisks, ...parsed } = parse(capture(version, file));
    expect(parsed).toEqual(snapshot);
    // the medium of its CD-ROM
    expect(otherDisks).toEqual([{ target: 'hdc', source: '/vm/iso.iso' }]);
  });

  test.each(['off1', 'run1', 'ext1'])('%s under another description is the same in all else', (name) => {
    const xml = capture(version, `dumpxml-${name}.out`);
    const definition = xml.slice(xml.indexOf('<domain '));
    for (const description of [null, 'one', '<&> "快照" $&\n two', parse(xml).description]) {
      const changed = withDescription(xml, description);
      expect(parse(changed)).toEqual({ ...parse(xml), description });
      expect(changed.endsWith(definition)).toBe(true);
    }
  });

  test("a revert's own disks are not the snapshot's", () => {
    const { revertOverlays, ...snapshot } = parse(capture(version, 'dumpxml-ext1-after-revert.out'));
    expect(snapshot).toEqual(parse(capture(version, 'dumpxml-ext1.out')));
    if (/^1[12]\./.test(version)) expect(revertOverlays?.[0]).toMatch(/^\/vm\/b-fix-vda\.\d+$/);
    else expect(revertOverlays).toBe(undefined);
  });
});

/** As libvirt writes text into XML (virBufferEscapeString). */
const escaped = (text: string): string =>
  text.replace(
    /[<>&"']/g,
    (char) => `&${{ '<': 'lt', '>': 'gt', '&': 'amp', '"': 'quot' }[char] ?? 'apos'};`,
  );

interface Parts {
  readonly name?: string;
  readonly own?: string;
  readonly definition?: string;
}

const snapshotXml = ({ name = 's1', own = '', definition = '' }: Parts): string =>
  `<domainsnapshot>
  <name>${escaped(name)}</name>
  <state>shutoff</state>
  <creationTime>1795426500</creationTime>
  ${own}${definition}
</domainsnapshot>
`;

describe('text stays text', () => {
  test.each([
    '007',
    '1.10',
    '1e3',
    '0x10',
    'true',
    ' leading',
    'trailing ',
    '   ',
    '升级 前',
    'a &lt; b',
    '&amp;#65;',
    ']]>',
    '<name>x</name>',
    '</domainsnapshot><domain type="x">',
  ])('the name %j', (name) => {
    expect(parse(snapshotXml({ name })).name).toBe(name);
  });

  test('any name and any description that XML can hold', () => {
    const text = fc
      .string({
        unit: fc.oneof(fc.constantFrom(...`<>&"';# \n\t`, '&lt;', '<domain ', '&#10;'), anyCharacter),
      })
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those that XML 1.0 cannot hold
      .map((chars) => chars.replace(/[\u0000-\u0008\u000b-\u001f\ufffe\uffff]/g, ''));
    fc.assert(
      fc.property(text, text, (name, description) => {
        const xml = snapshotXml({ name, own: `<description>${escaped(description)}</description>` });
        expect(parse(xml)).toMatchObject({ name, description });
        expect(parse(withDescription(xml, name))).toMatchObject({ name, description: name });
      }),
    );
  });

  test('a description of thousands of escapes', () => {
    const description = '<&>'.repeat(5000);
    const own = `<description>${escaped(description)}</description>`;
    expect(parse(snapshotXml({ own })).description).toBe(description);
  });
});

const DISK = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/vm/a.qcow2'/><target dev='vda'/></disk>`;
const definitionOf = (devices: string, metadata = ''): string =>
  `<domain type='qemu'><name>m</name>${metadata}<devices>${devices}</devices></domain>`;

describe('the parts that may be missing or odd', () => {
  test.each([
    { says: 'no disks element', own: '', disks: [] },
    { says: 'an empty disks element', own: '<disks/>', disks: [] },
    { says: 'a blank disks element', own: '<disks>\n  </disks>', disks: [] },
    {
      says: 'no word where the disk went: internal',
      own: "<disks><disk name='vda'/></disks>",
      disks: [{ target: 'vda', location: 'internal', source: '/vm/a.qcow2' }],
    },
    {
      says: 'a disk that the definition does not have',
      own: "<disks><disk name='vdz' snapshot='internal'/></disks>",
      disks: [{ target: 'vdz', location: 'internal', source: null }],
    },
    {
      says: 'an overlay on a block device',
      own: "<disks><disk name='vda' snapshot='external' type='block'><source dev='/dev/vg/s'/></disk></disks>",
      disks: [{ target: 'vda', location: 'external', source: '/dev/vg/s' }],
    },
  ])('$says', ({ own, disks }) => {
    expect(parse(snapshotXml({ own, definition: definitionOf(DISK) })).disks).toEqual(disks);
  });

  test("devices of someone else in the metadata are not the VM's", () => {
    const metadata = `<metadata><x:app xmlns:x='urn:x'><devices><disk type='file'><source file='/x'/><target dev='vdz'/></disk></devices></x:app></metadata>`;
    expect(parse(snapshotXml({ definition: definitionOf(DISK, metadata) })).definedDisks).toEqual([
      { target: 'vda', source: '/vm/a.qcow2', driver: 'qcow2' },
    ]);
  });

  test('of two definitions the active one counts: its images are what the snapshot is in', () => {
    const definition = `${definitionOf(DISK)}<inactiveDomain type='qemu'><devices>${DISK.replace('/vm/a', '/vm/b')}</devices></inactiveDomain>`;
    expect(parse(snapshotXml({ definition })).definedDisks).toEqual([
      { target: 'vda', source: '/vm/a.qcow2', driver: 'qcow2' },
    ]);
  });

  test('a backing chain as deep as QEMU takes', () => {
    const layer = "<backingStore type='file'><format type='qcow2'/><source file='/vm/base.qcow2'/>";
    const disk = DISK.replace('<target', `${layer.repeat(200)}${'</backingStore>'.repeat(200)}<target`);
    expect(parse(snapshotXml({ definition: definitionOf(disk) })).definedDisks).toHaveLength(1);
  });

  test.each([
    '',
    'error',
    '<domainsnapshot/>',
    '<domain type="qemu"/>',
    snapshotXml({ definition: definitionOf(DISK) }).replace(/<\/domainsnapshot>\s*$/, ''),
  ])('%j is no snapshot', (xml) => {
    expect(() => parse(xml)).toThrow(expect.objectContaining({ code: 'refused' }));
  });

  test('without a time, which is how libvirt says 0', () => {
    const xml = snapshotXml({}).replace(/<creationTime>.*>/, '');
    expect(parse(xml).createdAtSeconds).toBe(0);
  });

  test.each([
    ['18446744073709551615', '9999'],
    ['-9223372036854775808', '0001'],
  ])('the time %s, which libvirt takes, is one of the year %s', (seconds, year) => {
    const xml = snapshotXml({}).replace(/<creationTime>.*</, `<creationTime>${seconds}<`);
    expect(rfc3339(parse(xml).createdAtSeconds)).toMatch(new RegExp(`^${year}-`));
  });

  test('a parser keeps the disks of one snapshot apart from those of another', () => {
    const shared = createSnapshotParser();
    const own = "<disks><disk name='vda' snapshot='internal'/></disks>";
    const sourceOf = (disk: string) =>
      shared(snapshotXml({ own, definition: definitionOf(disk) })).disks[0]?.source;
    const moved = DISK.replace('/vm/a', '/vm/b');
    expect([DISK, moved, DISK].map(sourceOf)).toEqual(['/vm/a.qcow2', '/vm/b.qcow2', '/vm/a.qcow2']);
  });
});

test('an overlay that a deletion merges into, or was interrupted at, is marked', () => {
  const parse = createSnapshotParser();
  const disk = (name: string, mark: string) =>
    `<disk name='${name}' snapshot='external' type='file'>${mark}<driver type='qcow2'/><source file='/vm/${name}.e1'/></disk>`;
  const xml = `<domainsnapshot><name>e1</name><state>shutoff</state><disks>${disk('vda', '<snapshotDeleteInProgress/>')}${disk('vdb', '')}</disks></domainsnapshot>`;
  expect(parse(xml).disks).toEqual([
    { target: 'vda', location: 'external', source: '/vm/vda.e1', isMergeTarget: true },
    { target: 'vdb', location: 'external', source: '/vm/vdb.e1' },
  ]);
});

describe('a definition with other paths', () => {
  const paths = new Map([["/old/it's & <new>", "/new/it's"]]);
  const source = (path: string) => `<source file='${path}' index='1'/>`;
  const escaped = '/old/it&apos;s &amp; &lt;new&gt;';

  test('both definitions name them, and nothing else changes', () => {
    const document = (path: string) =>
      `<domainsnapshot><name>${escaped}</name><domain><metadata>${escaped}</metadata><devices>${source(path)}` +
      `${source('/old/other')}</devices></domain><inactiveDomain>${source(path)}</inactiveDomain></domainsnapshot>`;
    expect(withPaths(document(escaped), paths)).toBe(document('/new/it&apos;s'));
  });
});
