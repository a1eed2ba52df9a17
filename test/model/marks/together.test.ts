import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseTogether, withTogether } from '../../../src/model/marks/together.ts';

test.each([
  [null, { text: null, together: null }],
  ['', { text: '', together: null }],
  ['plain', { text: 'plain', together: null }],
  ['Kvmsnap-Together: unfinished', { text: null, together: [] }],
  ['text\n\nKvmsnap-Together: ["a","b"]', { text: 'text', together: ['a', 'b'] }],
  ['by hand\nKvmsnap-Together: ["a"]', { text: 'by hand', together: ['a'] }],
  ['Kvmsnap-Together: ["a"]\nand more', { text: 'Kvmsnap-Together: ["a"]\nand more', together: null }],
  ['Kvmsnap-Together: []', { text: 'Kvmsnap-Together: []', together: null }],
  ['Kvmsnap-Together: a, b', { text: 'Kvmsnap-Together: a, b', together: null }],
])('%j', (description, expected) => {
  expect(parseTogether(description)).toEqual(expected);
});

test('what is marked is found again, and its text stays', () => {
  const text = fc.option(fc.string({ unit: 'grapheme', minLength: 1 }));
  fc.assert(
    fc.property(text, fc.array(fc.string({ unit: 'grapheme' })), (text, names) => {
      fc.pre(text === null || !/\n$/.test(text));
      expect(parseTogether(withTogether(text, names))).toEqual({ text, together: names });
    }),
  );
});
