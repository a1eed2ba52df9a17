import { expect, test } from 'vitest';
import { policyElement, policyIn, policyOf } from '../../src/libvirt/xml/policy.ts';
import { parseElement, parseXml } from '../../src/libvirt/xml/xml.ts';

const read = (inside: string): (string | null)[] => {
  const xml = `<domain><metadata>${inside}</metadata></domain>`;
  const { domain } = parseXml(xml) as { domain: { metadata: unknown } };
  return [policyIn(parseElement(xml)), policyOf(domain.metadata)];
};

test.each([
  ['by its namespace', '<kvmsnap:policy xmlns:kvmsnap="urn:kvmsnap:policy" name="nightly"/>', 'nightly'],
  ['with any prefix', '<k:policy xmlns:k="urn:kvmsnap:policy" name="none"/>', 'none'],
  ['without a prefix', '<policy xmlns="urn:kvmsnap:policy" name="a.b-c"/>', 'a.b-c'],
  ['beside others', '<a/><a/><o:x xmlns:o="urn:o"/><k:policy xmlns:k="urn:kvmsnap:policy" name="x"/>', 'x'],
  ['none', '', null],
  ['of another program', '<kvmsnap:policy xmlns:kvmsnap="urn:other" name="nightly"/>', null],
  ['without a name', '<k:policy xmlns:k="urn:kvmsnap:policy"/>', null],
  ['with an empty name', '<k:policy xmlns:k="urn:kvmsnap:policy" name=""/>', null],
  ['only text', 'policy', null],
  ['text in place of an element', '<policy>nightly</policy>', null],
])('the policy in the XML: %s', (_, inside, expected) => {
  expect(read(inside)).toEqual([expected, expected]);
});

test('what virsh is given', () => {
  expect(policyElement('nightly')).toBe("<policy name='nightly'/>");
  expect(policyElement("a'<b")).toBe("<policy name='a&apos;&lt;b'/>");
});
