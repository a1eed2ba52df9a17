import { expect, test } from 'vitest';
import { unitWord } from '../../src/timer/units.ts';

test.each([
  ['--all', '--all'],
  ['test-*', 'test-*'],
  ['@nightly', '@nightly'],
  ['100%', '100%%'],
  ['$HOME', '$$HOME'],
  ['a b', '"a b"'],
  ['say "hi" \\', '"say \\"hi\\" \\\\"'],
  ["it's", '"it\'s"'],
  [';', '";"'],
  ['', '""'],
  ['a\nb', '"a\\nb"'],
])('%j', (word, expected) => {
  expect(unitWord(word)).toBe(expected);
});
