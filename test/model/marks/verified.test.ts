import { expect, test } from 'vitest';
import { readMarks, withMarks } from '../../../src/model/marks/marks.ts';

const VERIFIED = { atSeconds: 1_795_900_000, outcome: 'not proven', seen: 'no kernel started' } as const;
const NONE = { together: null, verified: null, held: false };

test.each([
  ['nothing', null, NONE],
  ['a text alone', 'why', NONE],
  ['a result alone', null, { ...NONE, verified: VERIFIED }],
  ['all marks', 'why\n\nand more', { together: ['a', 'b'], verified: VERIFIED, held: true }],
  ['a result and a hold', 'why', { together: null, verified: VERIFIED, held: true }],
] as const)('%s comes back', (_, text, marks) => {
  expect(readMarks(withMarks(text, marks))).toEqual({ text, ...marks });
});

test('the lines, and a result without line breaks', () => {
  const verified = { ...VERIFIED, outcome: 'failed', seen: 'libvirt\n could not' } as const;
  expect(withMarks('why', { together: null, verified, held: true })).toBe(
    'why\n\nKvmsnap-Verified: 2026-11-28T21:06:40Z failed: libvirt could not\n\nKvmsnap-Hold: yes',
  );
});

test.each([
  'Kvmsnap-Verified: yes',
  'Kvmsnap-Verified: 2026-99-99T00:00:00Z proven: x',
  'Kvmsnap-Verified: proven',
])('%s is a text of its author', (text) => {
  expect(readMarks(text)).toEqual({ text, ...NONE });
});
