import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** Words that no file of src or test uses, in names, comments or texts: for each there is a plain one. */

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The word in its forms, and what to use instead. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/^wish(es)?$/, 'spec'],
  [/^deeds?$/, 'outcome'],
  [/^contenders?$/, 'candidate'],
  [/^barren$/, 'frees nothing'],
  [/^doomed$/, 'deletion set'],
  [/^heirs?$/, 'successor'],
  [/^neighbours?$/, 'image user'],
  [/^patiently$/, 'retry while busy'],
  [/^aftermath$/, 'residue'],
  [/^(torn|tornness)$/, 'incomplete'],
  [/^babbl(e|es|ing)$/, 'prints too much'],
  [/^suffer(s|ed|ing)?$/, 'plain verb'],
  [/^(strikes?|struck)$/, 'interrupt'],
  [/^mend(s|ed|ing|able)?$/, 'fix'],
  [/^judgements?$/, 'overridable, advisory check'],
  [/^unsuitable$/, 'unsupported'],
  [/^victims?$/, 'member of the deletion set'],
];

/** Names that say nothing, although each of their words is a plain one. */
const BANNED_NAMES = ['overMachines', 'sayingOnce', 'whatIsTaken'];

/** `deletionSetOf` -> `deletion`, `set`, `of`. */
const wordsOf = (text: string): string[] =>
  (text.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? []).map((word) => word.toLowerCase());

const FILES = ['src', 'test'].flatMap((directory) =>
  readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .map((path) => join(directory, path))
    .filter((path) => /\.(ts|mjs|cjs|sh)$/.test(path) && path !== join('test', 'words.test.ts')),
);

function bannedIn(text: string): string[] {
  const words = [...new Set(wordsOf(text))];
  const found = words.flatMap((word) =>
    BANNED.filter(([banned]) => banned.test(word)).map(([, instead]) => `${word} (instead: ${instead})`),
  );
  return [...found, ...BANNED_NAMES.filter((name) => text.includes(name))];
}

test('a word is found in a longer name, and not within another word', () => {
  expect(bannedIn('const HEIR_OF = heirOf(x); // indeed their wishful, striking text')).toEqual([
    'heir (instead: successor)',
  ]);
  expect(bannedIn('sayingOnce(ctx)')).toEqual(['sayingOnce']);
});

test('there are files to look into', () => {
  expect(FILES.length).toBeGreaterThan(300);
});

test('no file uses such a word, in its text or in its name', () => {
  const found = FILES.flatMap((path) =>
    bannedIn(`${path}\n${readFileSync(join(ROOT, path), 'utf8')}`).map((word) => `${path}: ${word}`),
  );
  expect(found).toEqual([]);
});
