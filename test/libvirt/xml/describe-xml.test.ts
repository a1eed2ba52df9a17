import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSnapshotParser, withDescription } from '../../../src/libvirt/xml/snapshot.ts';
import { capture, VERSIONS } from '../../captures.ts';

const parse = createSnapshotParser();
const XMLS = VERSIONS.flatMap((version) =>
  ['run1', 'off1', 'ext1'].map(
    (name) => [`${version} ${name}`, capture(version, `dumpxml-${name}.out`)] as const,
  ),
);

const TEXTS = [
  'plain',
  'two\nlines\n',
  '  spaces  ',
  `"quotes" and 'apostrophes'`,
  '<description>&lt;</name><domain type="kvm">]]>',
  'a & b &amp; &#13; &#xd;',
  'tab\there',
  '$& $1 $` $$ \\n',
  '升级之前 😀',
  '\n',
  ' ',
];

/** The document without its description, which stands on lines of its own. */
const rest = (xml: string): string => {
  const start = xml.search(/<domain[ >]/);
  const own = start < 0 ? xml : xml.slice(0, start);
  return own.replace(/\n {2}<description>[^<]*<\/description>/, '') + (start < 0 ? '' : xml.slice(start));
};

describe.each(XMLS)('%s', (_, xml) => {
  it.each(TEXTS)('takes the description %j, and nothing else changes', (text) => {
    const changed = withDescription(xml, text);
    expect(parse(changed)).toEqual({ ...parse(xml), description: text });
    expect(rest(changed)).toBe(rest(xml));
    // a second description takes the place of the first
    expect(withDescription(changed, 'other')).toBe(withDescription(xml, 'other'));
  });

  it('loses its description, and nothing else', () => {
    const without = withDescription(xml, null);
    expect(parse(without).description).toBeNull();
    expect(without).toBe(rest(xml));
    expect(withDescription(withDescription(xml, 'some'), null)).toBe(without);
  });

  it('the text that it has gives the same document, but for quotes that need no reference', () => {
    const { description } = parse(xml);
    const same = withDescription(xml, description);
    expect(parse(same)).toEqual(parse(xml));
    expect(same).toBe(xml.replace(/<description>[^<]*/, (text) => text.replaceAll('&quot;', '"')));
  });

  it('an empty description is none', () => {
    const empty = rest(xml).replace('</name>', '</name>\n  <description/>');
    expect(withDescription(empty, null)).toBe(rest(xml));
  });
});

it('a description within the stored definition stays', () => {
  const [, xml] = XMLS[0] ?? ['', ''];
  const described = xml.replace(/(<domain [^>]*>)/, '$1\n    <description>of the VM</description>');
  expect(described).not.toBe(xml);
  expect(withDescription(described, null)).toContain('<description>of the VM</description>');
  expect(parse(withDescription(described, 'new'))).toEqual({ ...parse(xml), description: 'new' });
});

it('any text that XML can hold comes back', () => {
  const [, xml] = XMLS[1] ?? ['', ''];
  const text = fc
    .string({
      unit: fc.oneof(
        fc.constantFrom('<', '&', '>', '"', ';', '\n', '\t', '$'),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
      ),
    })
    .filter((any) => any !== '' && !/[^\t\n\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(any));
  fc.assert(
    fc.property(text, (description) => {
      expect(parse(withDescription(xml, description)).description).toBe(description);
    }),
    { numRuns: 300 },
  );
});
