import { expect, test } from 'vitest';
import { policyLines } from '../../src/policy/policy-lines.ts';

test.each([
  ['', []],
  ['# a comment\n\n  # another\n', []],
  ['--label nightly\n', [{ number: 1, words: ['--label', 'nightly'] }]],
  ['\n  --silent   # for cron\n', [{ number: 2, words: ['--silent'] }]],
  ["--exclude 'test-*'\r", [{ number: 1, words: ['--exclude', 'test-*'] }]],
  ['-d "before \\"the\\" night # 1"', [{ number: 1, words: ['-d', 'before "the" night # 1'] }]],
  ['--description=a\\ b#c', [{ number: 1, words: ['--description=a b#c'] }]],
  ["--description ''", [{ number: 1, words: ['--description', ''] }]],
  ['web-1', { number: 1, problem: "'web-1' is not an option, such as --label nightly" }],
  ['--silent\n--', { number: 2, problem: "'--' is not an option, such as --label nightly" }],
  [
    '--label a --silent',
    { number: 1, problem: "a line can have only one option, and this one also has '--silent'" },
  ],
  ["--label 'a", { number: 1, problem: 'a quote is not closed' }],
  ['--label a\\', { number: 1, problem: 'a quote is not closed' }],
])('%j', (text, expected) => {
  expect(policyLines(text)).toEqual(expected);
});
