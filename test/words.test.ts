import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../src/cli.ts';
import { manPage } from '../src/help/man-page.ts';

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

const { program: WHOLE } = await createProgram([], async () => undefined);
const PAGES = [
  'README.md',
  ...readdirSync(join(ROOT, 'src/manual'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `src/manual/${name}`),
];
const SOURCES = FILES.filter((path) => /^src.*\.ts$/.test(path));

/**
 * Phrases that the texts for users no longer contain, because one had to read them twice. Each is the characteristic part of
 * the old sentence; in a text any white space may stand between the words.
 */
const OLD_PHRASES: readonly string[] = [
  // option texts
  'can also delete old ones',
  'what no keep rule keeps',
  'fail if verify has proven no snapshot',
  'against all rules',
  'the same of days',
  'but not these',
  'so many machines',
  'files of its own',
  'an overlay each',
  'checks that are judgements',
  'no other checks',
  'libvirt forgets it at once',
  'no command will know it',
  'print nothing at all',
  'once it is taken',
  'that are there already',
  'QEMU does no other',
  'the libvirt to talk to',
  'are heeded',
  'try again for so long',
  'have a snapshot again',
  'give a snapshot another description',
  'tell whether',
  'reverted and trusted',
  'put a machine back',
  'under a name of yours',
  'what it is for',
  'knowledge of it',
  'go on over',
  'try harder',
  'guest runs on',
  'lets the guest run on',
  'loses the guest',
  'loses the running guest',
  'guest would be lost',
  'guest is lost',
  'is not in the state of before',
  'of different causes',
  'a check refused',
  // errors and hints
  'whole number from 0 on',
  '1 is wanted',
  'duration is wanted',
  'comes behind --',
  'nobody to ask',
  'if you mean it',
  'true end',
  'once more: stop',
  'carries on',
  'carry on',
  'not done within',
  'could not look at',
  "libvirt's word",
  'really holds',
  'no such one',
  'in peace',
  'have libvirt know',
  'have libvirt forget',
  'has libvirt know',
  'has libvirt forget',
  'lets libvirt know',
  'WHAT MENDS IT',
  'has come among',
  'leaves out nothing',
  'is called so',
  'no machine is called',
  'is left: of',
  'lies on what they leave',
  'of which it is not known',
  'it is not known what',
  'not counting',
  'has left a file behind',
  'may stand still',
  'held still',
  'hold the file systems still',
  'holds the file systems still',
  'is no span of time',
  'is no amount of space',
  'is no root',
  'say its name',
  'goes with no',
  'output format at a time',
  'failed without a word',
  'which is no answer',
  'make sense of what',
  'no VM is left',
  'no machine is left',
  'exclude each other',
  'gave no answer',
  'is wanted here',
  // tables and reports
  'COPIES OF THAT NAME',
  'FREE BESIDE',
  'not looked at',
  'when it alone is deleted',
  'with what it shares',
  // comments
  'would break with us',
  'short is well',
  'does not wait longer for it',
  'stands for itself',
  // help, README and manual
  'says deleted only when',
  'says done only when',
  'it may be a slip',
  'for a slip',
  'is skipped and said so',
  'not reached is exit',
  'mend what is not',
  'look before you leap',
  'ask whether all is well',
  'does not hasten',
  'no death of kvmsnap',
  'looks afterwards',
  'sets up what is missing',
  'of its own beside yours',
  'nothing is configured',
  'which it asks libvirt for',
  'on the line already',
  'name what mends it',
  'nothing is written into the images',
  "libvirt's weak side",
  'wants --force',
  'said beforehand',
  'judges each as those',
  'sees to it that',
  'the next one will be its child',
  'leave the machine torn',
  'if and only if',
  'and of these never',
  'what no rule keeps goes',
  'makes room and no more',
  'nothing goes',
  'leaves out no machine',
  'made known again',
  'stands in the images',
  'all that it knows',
  'stderr is talk',
  'is consent',
  'is still to be done is said',
  'what was not reached is said',
  'none left a snapshot half',
  'goes by what libvirt knows',
  'says in one line what',
  'a run with another outcome than here',
  'nothing touched',
];

/** Words that stand in no text for users; a VM is a VM, and problems are fixed. */
const OLD_WORDS = [
  /\bmend(s|ed|ing)?\b/i,
  /\b(?<!fresh |cockpit-)machines?\b(?! type)/i,
  /\bhazards? \d/i,
  /\bguest stands\b/i,
];

const oldPhrase = (phrase: string): RegExp =>
  new RegExp(
    `(?<![\\w-])${phrase
      .split(' ')
      .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('\\s+')}`,
    'i',
  );

const oldIn = (text: string): string[] => [
  ...OLD_PHRASES.filter((phrase) => oldPhrase(phrase).test(text)),
  ...OLD_WORDS.flatMap((word) => word.exec(text)?.[0] ?? []),
];

test('an old phrase is found across the end of a line, and not within another word', () => {
  expect(oldIn('Have  libvirt\n know it')).toEqual(['have libvirt know']);
  expect(oldIn('the machine, and machine types on a fresh machine')).toEqual(['machine']);
  expect(oldIn('recommended')).toEqual([]);
});

describe('the old phrases are gone', () => {
  test.each([WHOLE, ...WHOLE.commands].map((command) => [command.name(), command] as const))(
    'from the help of %s',
    (_, command) => expect(oldIn(command.helpInformation())).toEqual([]),
  );

  test('from the man page', () => {
    expect(oldIn(manPage(WHOLE).replaceAll('\\-', '-'))).toEqual([]);
  });

  test.each(PAGES)('from %s', (page) => {
    expect(oldIn(readFileSync(join(ROOT, page), 'utf8'))).toEqual([]);
  });

  test.each(SOURCES)('from %s', (path) => {
    const code = readFileSync(join(ROOT, path), 'utf8');
    const literals = code.match(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g) ?? [];
    expect(literals.filter((text) => text.includes(' ')).flatMap(oldIn)).toEqual([]);
    const comments = code.replace(/\n\s*(?:\*|\/\/) /g, ' ');
    expect(OLD_PHRASES.filter((phrase) => oldPhrase(phrase).test(comments))).toEqual([]);
  });
});
