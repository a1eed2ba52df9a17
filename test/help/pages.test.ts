import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Help } from 'commander';
import { describe, expect, test } from 'vitest';
import pkg from '../../package.json' with { type: 'json' };
import { commandFor } from '../../src/command-line/understand.ts';
import { pageText } from '../../src/help/page-text.ts';
import { TOPIC_WORDS, TOPICS, topicFor } from '../../src/help/topics.ts';
import { VERBS } from '../command-line/program.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const names = readdirSync(`${root}/src/manual`).flatMap((file) => /^(.*)\.md$/.exec(file)?.[1] ?? []);
const README = readFileSync(`${root}/README.md`, 'utf8');

describe('every page of the manual', () => {
  test('is a topic', () => {
    expect(TOPICS.map(({ name }) => name).sort()).toEqual(names.sort());
  });

  test('is a man page of the package', () => {
    const pages = TOPICS.map(({ name }) => `dist/man/kvmsnap-${name}.7`);
    expect(pkg.man).toEqual(['dist/kvmsnap.1', ...pages]);
  });

  test('stands in the README, in the same order and words', () => {
    const rows = [...README.matchAll(/^\| \[([\w-]+)\]\(src\/manual\/([\w-]+)\.md\) \| (.*) \|$/gm)];
    expect(
      rows.map(([, name, file, summary]) => ({ name, file, summary: summary?.replaceAll('`', '') })),
    ).toEqual(TOPICS.map(({ name, summary }) => ({ name, file: name, summary })));
  });
});

test('the README is short', () => {
  expect(README.split('\n').length).toBeLessThanOrEqual(200);
});

describe('another word for a topic', () => {
  test.each(
    Object.entries(TOPIC_WORDS).flatMap(([topic, words]) => words.map((word) => [word, topic] as const)),
  )('%s stands for %s, and for no command', (word, topic) => {
    expect(topicFor(word)).toBe(topic);
    expect([...names, 'exit-codes']).toContain(topic);
    expect([...names, ...VERBS.flatMap((verb) => [verb.name(), ...verb.aliases()])]).not.toContain(word);
    expect(commandFor(word)).toBeNull();
  });

  test.each([
    ['cron', /crontab/],
    ['backup', /copy|export/],
    ['quiesce', /--quiesce/],
    ['overlay', /overlay/],
    ['memory', /MEMORY/],
    ['pool', /storage pool/],
  ])('%s is written about there', (word, text) => {
    expect(readFileSync(`${root}/src/manual/${topicFor(word)}.md`, 'utf8')).toMatch(text);
  });
});

describe('a page on a terminal', () => {
  const shown = (page: string, helpWidth: number) => {
    const helper = new Help();
    helper.prepareContext({ helpWidth });
    return pageText(page, helper);
  };

  test('has its prose wrapped, with lists hanging', () => {
    expect(shown('# Title\n\none two\nthree four\n\n- a list item\n  of two lines\n- another\n', 40)).toBe(
      '# Title\n\none two three four\n\n- a list item of two lines\n- another\n',
    );
    expect(shown('- aaaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd eeeeeeeeee\n', 45)).toBe(
      '- aaaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd\n  eeeeeeeeee\n',
    );
  });

  test('has its examples as they are, and no marks', () => {
    const page =
      '<!-- exits -->\n```console\n$ kvmsnap list a very long command line that is not wrapped\n```\n';
    expect(shown(page, 40)).toBe('  $ kvmsnap list a very long command line that is not wrapped\n');
  });

  test('has no table that is wider', () => {
    const page = '| a | b |\n| --- | --- |\n| one | a cell that is wider than forty columns are |\n';
    expect(shown(page, 80)).toBe(page);
    expect(shown(page, 45)).toBe('- one; b: a cell that is wider than forty\n  columns are\n');
  });

  test.each(names)('%s fits 80 columns but for examples and long words', (name) => {
    const page = readFileSync(`${root}/src/manual/${name}.md`, 'utf8').replace(/^```\w*\n.*?^```\n/gms, '');
    for (const line of shown(page, 80).split('\n'))
      if (line.length > 80) expect(line.trim()).not.toContain(' ');
  });
});
