import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { completeBashWord, readBashWords } from '../../src/completion/bash-words.ts';
import { virshQuote } from '../../src/model/quote.ts';
import { anyName } from '../any-name.ts';

describe('the words of a line', () => {
  test.each([
    ['', ['']],
    ['a', ['a']],
    [' \ta b', ['a', 'b']],
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
        expect(readBashWords(['x', ...words].map(virshQuote).join(' '))).toEqual(['x', ...words]);
      }),
    );
  });
});

/** As an interactive bash sets it. */
const BREAKS = ' \t\n"\'@><=;|&(:';

describe('a word written on', () => {
  test.each([
    ['x ', 'two words', 'two\\ words'],
    ['x tw', 'two words', 'two\\ words'],
    ['x two\\ ', 'two words', 'two\\ words'],
    [' x two\\', 'two words', 'two\\ words'],
    ["x 'tw", 'two words', 'two words'],
    ["x 'a b'c", 'a bcd', 'a\\ bcd'],
    ["x 'it", "it's", "it'\\''s"],
    ['x "it', `it's "$"!`, `it's \\"\\$\\""'!'""`],
    ["x 'a", "a'", "a'\\'''"],
    ["x '", "'a", "''\\''a"],
    ['x "', '!a', `""'!'"a`],
    ["x ''\\''", "'", "''"],
    ['x web:', 'web:1', '1'],
    ['x web:a', 'web:a b', 'a\\ b'],
    ['x web\\:a', 'web:a b', 'web:a\\ b'],
    ["x 'web 'b:", 'web b:c', 'c'],
    ['x "web:', 'web:c', 'web:c'],
    ['x a@b', 'a@bc', '@bc'],
    ['x --output=j', '--output=json', 'json'],
    ['x 快照:升', '快照:升级 前', '升级\\ 前'],
    ['x a', 'b', null],
  ])('%j for %j: %j', (line, word, spelled) => {
    expect(completeBashWord(line, BREAKS, word)).toBe(spelled);
  });

  test('goes by the breaks that are set', () => {
    expect(completeBashWord('x web:a', ' \t\n', 'web:a b')).toBe('web:a\\ b');
  });

  const typed = fc.record({
    name: anyName.filter((name) => name !== '' && !/[\0\n]/.test(name)),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    quote: fc.constantFrom('', "'", '"'),
    colon: fc.boolean(),
  });

  /** The first part of the name as a person may type it. */
  function begin({ name, part, quote }: Typed): string {
    const chars = [...name];
    const begun = chars.slice(0, Math.floor(part * chars.length)).join('');
    if (quote === "'") return begun.replaceAll("'", "'\\''");
    return begun.replace(quote === '"' ? /["\\$`]/g : /[^\w]/gu, '\\$&');
  }

  /** What readline makes of it: it takes a quote at the start for the opening one, and closes what is open. */
  function finish(sample: Typed): string {
    const { name, quote, colon } = sample;
    const prefix = `printf ${colon ? 'x:' : ''}${quote}`;
    const line = prefix + begin(sample);
    const piece = completeBashWord(line, BREAKS, colon ? `x:${name}` : name);
    if (piece === null) throw new Error(`${line} is not continued`);
    // what is replaced begins behind the quote that is open, and that may be a later one
    const kept = quote === "'" ? line.slice(0, line.lastIndexOf("'") + 1) : prefix;
    const done = (quote !== '' && piece.startsWith(quote) ? kept.slice(0, -1) : kept) + piece;
    return done.endsWith(quote) ? done : done + quote;
  }
  type Typed = typeof typed extends fc.Arbitrary<infer T> ? T : never;

  test('is the name for bash, however it was begun', () => {
    const samples = fc.sample(typed, 1000);
    const script = samples.map((sample) => finish(sample).replace('printf ', "printf '%s\\0' ")).join('\n');
    const printed = execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' });
    expect(printed.split('\0').slice(0, -1)).toEqual(
      samples.map(({ name, colon }) => (colon ? `x:${name}` : name)),
    );
  });
});
