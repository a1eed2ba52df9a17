import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { completeBashWord, readBashWords } from '../../src/core/bash-words.ts';
import { commandLine } from '../../src/core/quote.ts';
import { anyName } from '../any-name.ts';

describe('the words of a line', () => {
  test.each([
    ['', ['']],
    ['a', ['a']],
    ['a  b\tc ', ['a', 'b', 'c', '']],
    ['a\\ b', ['a b']],
    ["a' b'\\''c'", ["a b'c"]],
    ['"a \\"b\\" \\$c \\d"', ['a "b" $c \\d']],
    ["''", ['']],
    ["x 'two w", ['x', 'two w']],
    ['x "two w', ['x', 'two w']],
    ['x "two\\', ['x', 'two']],
    ['x "two\\"', ['x', 'two"']],
    ['x two\\', ['x', 'two']],
    ['x y\\\nz', ['x', 'yz']],
    ['web:1 快照', ['web:1', '快照']],
  ])('%j', (line, words) => {
    expect(readBashWords(line)).toEqual(words);
  });

  test('are what was quoted', () => {
    fc.assert(
      fc.property(fc.array(anyName, { minLength: 1 }), (words) => {
        expect(readBashWords(commandLine('x', words))).toEqual(['x', ...words]);
      }),
    );
  });
});

describe('a word written on', () => {
  test.each([
    ['x ', '', 'two words', 'two\\ words'],
    ['x tw', 'tw', 'two words', 'two\\ words'],
    ['x two\\ ', 'two\\ ', 'two words', 'two\\ words'],
    ["x 'tw", 'tw', 'two words', 'two words'],
    ["x 'it", 'it', "it's", "it'\\''s"],
    ['x "it', 'it', `it's "$"!`, `it's \\"\\$\\""'!'""`],
    ["x 'a", 'a', "a'", "a'\\'''"],
    ['x web:', '', 'web:1', '1'],
    ['x web:a', 'a', 'web:a b', 'a\\ b'],
    ["x 'web 'b:", '', 'web b:c', 'c'],
    ['x --output=j', 'j', '--output=json', 'json'],
    ['x 快照:升', '升', '快照:升级 前', '升级\\ 前'],
    ['x a', 'a', 'b', null],
    ['x a', 'b', 'abc', null],
  ])('%j, %j for %j: %j', (line, replaced, word, spelled) => {
    expect(completeBashWord(line, replaced, word)).toBe(spelled);
  });

  /** What readline does with it: replaces the end of the line, and closes a quote that is still open. */
  const typed = fc.record({
    name: anyName.filter((name) => name !== '' && !/[\0\n]/.test(name)),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    quote: fc.constantFrom('', "'", '"'),
    colon: fc.boolean(),
  });

  function finish({
    name,
    part,
    quote,
    colon,
  }: {
    name: string;
    part: number;
    quote: string;
    colon: boolean;
  }): string {
    const whole = colon ? `x:${name}` : name;
    const chars = [...name];
    const begun = chars.slice(0, Math.floor(part * chars.length)).join('');
    const escaped = { '': /[^\w]/gu, "'": /'/g, '"': /["\\$`]/g }[quote] ?? /$^/;
    const body = begun.replace(escaped, (char) => (quote === "'" ? "'\\''" : `\\${char}`));
    const kept = `printf ${colon ? 'x:' : ''}${quote}`;
    const piece = completeBashWord(kept + body, body, whole);
    if (piece === null) throw new Error(`${kept}${body} is not continued`);
    const line = kept + piece;
    return quote === '' || line.endsWith(quote) ? line : line + quote;
  }

  test('is the name for bash, however it was begun', () => {
    const samples = fc.sample(typed, 1000);
    const script = samples.map((sample) => finish(sample).replace('printf ', "printf '%s\\0' ")).join('\n');
    const printed = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
    expect(printed.split('\0').slice(0, -1)).toEqual(
      samples.map(({ name, colon }) => (colon ? `x:${name}` : name)),
    );
  });
});
