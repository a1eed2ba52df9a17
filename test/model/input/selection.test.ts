import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPattern, matcher, type Selection, selectDomains } from '../../../src/model/input/selection.ts';

describe('patterns', () => {
  it.each([
    ['web-*', ['web-', 'web-1', 'web-a b', 'web-\n', 'web-字'], ['web', 'a web-1', 'Web-1']],
    ['*', ['', 'x', 'two\nlines'], []],
    ['?', ['x', '字', '😀', '\n'], ['', 'xy']],
    ['web-?', ['web-1', 'web-😀'], ['web-', 'web-12']],
    ['*-db', ['web-db', '-db'], ['web-db-1', 'db']],
    ['w*b*1', ['wb1', 'web-b-11', 'web1'], ['wb2', 'w1']],
    ['web-[12]', ['web-1', 'web-2'], ['web-3', 'web-12', 'web-[12]']],
    ['web-[!12]', ['web-3', 'web-!'], ['web-1', 'web-']],
    ['web-[^12]', ['web-3', 'web-^'], ['web-1', 'web-']],
    ['[a-c]', ['a', 'b', 'c'], ['d', '-', '']],
    ['[a-ce-g]', ['b', 'f'], ['d', '-']],
    ['[-a]', ['-', 'a'], ['b']],
    ['[a-]', ['-', 'a'], ['b']],
    ['[c-a]', [], ['a', 'b', 'c', '-', '[c-a]']],
    ['[!c-a]', ['a', '-'], ['', 'ab']],
    ['[]a]', [']', 'a'], ['[]a]', 'b']],
    ['[!]a]', ['b'], [']', 'a']],
    ['[一-龥]', ['字'], ['a']],
    ['[😀]', ['😀'], ['\ud83d', 'x']],
    ['[\\d]', ['\\', 'd'], ['1']],
    ['[a^]', ['a', '^'], ['b']],
    ['[]', ['[]'], ['', ']']],
    ['[!]', ['[!]'], ['!', 'a']],
    ['[', ['['], ['a']],
    ['web-[12', ['web-[12'], ['web-1']],
    ['a.b', ['a.b'], ['axb']],
    ['a+(b|c)$', ['a+(b|c)$'], ['ab']],
    ['\\*', ['\\', '\\x'], ['*']],
    ['{1,2}', ['{1,2}'], ['1']],
    ['/', ['/'], ['']],
  ])('%j', (pattern, yes, no) => {
    const matches = matcher(pattern);
    expect(yes.filter((name) => !matches(name))).toEqual([]);
    expect(no.filter(matches)).toEqual([]);
  });

  it('does not take for ever over many stars', () => {
    const matches = matcher(`${'*a'.repeat(30)}${'*'.repeat(60)}b`);
    expect(matches('a'.repeat(250))).toBe(false);
    expect(matches(`${'a'.repeat(250)}b`)).toBe(true);
  });

  it.each([
    ['web-1', false],
    ['web-*', true],
    ['web-?', true],
    ['web-[1]', true],
    ['web-[', true],
    ['{a,b}', false],
  ])('%j is one: %j', (word, is) => expect(isPattern(word)).toBe(is));
});

/** One part of a pattern: `*`, or what a single character must be. */
type Part = '*' | ((char: string) => boolean);

/** Whether the characters match the parts, by trying everything. */
function naive(parts: readonly Part[], chars: readonly string[]): boolean {
  const [part, ...rest] = parts;
  if (part === undefined) return chars.length === 0;
  if (part === '*') return chars.some((_, n) => naive(rest, chars.slice(n))) || naive(rest, []);
  const [char, ...others] = chars;
  return char !== undefined && part(char) && naive(rest, others);
}

describe('the matcher does what the naive one does', () => {
  const char = fc.constantFrom('a', 'b', 'c', '-', '.', '字', '😀', '^', '\\', '\n', '!');
  const item = fc.oneof(
    fc
      .constantFrom('a', 'b', 'c', '.', '字', '😀', '\\')
      .map((one) => ({ text: one, has: (c: string) => c === one })),
    fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('a', 'b', 'c')).map(([from, to]) => ({
      text: `${from}-${to}`,
      has: (c: string) => from <= c && c <= to && c.length === 1,
    })),
  );
  const part: fc.Arbitrary<{ text: string; part: Part }> = fc.oneof(
    fc.constant({ text: '*', part: '*' as const }),
    fc.constant({ text: '?', part: () => true }),
    char.map((one) => ({ text: one, part: (c: string) => c === one })),
    fc
      .tuple(fc.constantFrom('', '!', '^'), fc.array(item, { minLength: 1, maxLength: 3 }))
      .map(([not, items]) => ({
        text: `[${not}${items.map(({ text }) => text).join('')}]`,
        part: (c: string) => items.some(({ has }) => has(c)) === (not === ''),
      })),
  );

  it('for any pattern and name', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), fc.array(char, { maxLength: 7 }), (parts, chars) => {
        const pattern = parts.map(({ text }) => text).join('');
        const expected = naive(
          parts.map((each) => each.part),
          chars,
        );
        expect(matcher(pattern)(chars.join(''))).toBe(expected);
      }),
      { numRuns: 3000 },
    );
  });

  it('and throws for none', () => {
    const anything = fc.array(
      fc.constantFrom('[', ']', '!', '^', '-', 'z', 'a', '*', '?', '\\', '(', '{', '\ud83d'),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          anything.map((all) => all.join('')),
        ),
        (word) => void matcher(word)('z'),
      ),
    );
  });
});

const vm = (name: string, n: number) => ({ name, uuid: `0000000${n}-0000-4000-8000-00000000000a` });
const ALL = ['web-1', 'web-2', 'db', 'web-*', '00000001-0000-4000-8000-00000000000a'].map(vm);
const BRACKETS = ['web-[1]', 'web-1', 'web-2'].map(vm);

const select = (changes: Partial<Selection>) => {
  const { vms, unmatched } = selectDomains(ALL, {
    words: [],
    all: false,
    exclude: [],
    states: [],
    ...changes,
  });
  return { vms: vms.map(({ name }) => name), unmatched };
};

describe('vms', () => {
  it.each<[string, Partial<Selection>, string[], string[]]>([
    ['a name', { words: ['db'] }, ['db'], []],
    ['a UUID', { words: ['00000002-0000-4000-8000-00000000000A'] }, ['db'], []],
    [
      'a name in the form of a UUID comes before the UUID',
      { words: [ALL[4]?.name ?? ''] },
      [ALL[4]?.name ?? ''],
      [],
    ],
    ['a pattern', { words: ['web-?'] }, ['web-1', 'web-2', 'web-*'], []],
    ['an exact name wins over the pattern that it is', { words: ['web-*'] }, ['web-*'], []],
    [
      'in the order of the host, each once',
      { words: ['db', 'web-1', '*b*', 'db'] },
      ['web-1', 'web-2', 'db', 'web-*'],
      [],
    ],
    ['all', { all: true }, ALL.map(({ name }) => name), []],
    ['all but some', { all: true, exclude: ['web-*', '0*'] }, ['db'], []],
    ['excluded by its exact name', { words: ['web-?'], exclude: ['web-1'] }, ['web-2', 'web-*'], []],
    [
      'excluded by its UUID',
      { words: ['web-?'], exclude: ['00000001-0000-4000-8000-00000000000A'] },
      ['web-1', 'web-*'],
      [],
    ],
    ['a word that means nothing', { words: ['db', 'wbe-1', 'x*'] }, ['db'], ['wbe-1', 'x*']],
    ['nothing', {}, [], []],
  ])('%s', (_, selection, vms, unmatched) => expect(select(selection)).toEqual({ vms, unmatched }));

  it('knows what leaves out nothing, and it need not be selected', () => {
    const exclude = ['db', 'bd', 'd*', 'x*', '00000002-0000-4000-8000-00000000000A'];
    const some = { words: ['web-?'], all: false, exclude, states: [] };
    expect(selectDomains(ALL, some).idle).toEqual(['bd', 'x*']);
  });

  it('to exclude, a name that is a pattern means both', () => {
    const all = { words: [], all: true, exclude: ['web-[1]'], states: [] };
    expect(selectDomains(BRACKETS, all).vms.map(({ name }) => name)).toEqual(['web-2']);
  });

  it.each<[string, Partial<Selection>, string[]]>([
    ['its own name', { words: ['db'] }, ['db']],
    ['its UUID', { words: ['00000002-0000-4000-8000-00000000000A', 'web-?'] }, ['db']],
    ['a name that is a pattern', { words: ['web-*'] }, ['web-*']],
    ['a pattern', { words: ['d*'] }, []],
    ['all', { all: true }, []],
  ])('called by its own name: %s', (_, given, names) => {
    const { named } = selectDomains(ALL, { words: [], all: false, exclude: [], states: [], ...given });
    expect([...named].map(({ name }) => name)).toEqual(names);
  });
});
