import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const [, table = ''] =
  /<!-- hazards -->(.*?)<!-- end -->/s.exec(
    readFileSync(new URL('../../../src/manual/hazards.md', import.meta.url), 'utf8'),
  ) ?? [];
const rows = [...table.matchAll(/^\| (\d+) \| (.*?) \| (.*?) \|/gm)].map(
  ([, number, what, versions = '']) => ({
    number: Number(number),
    what,
    versions,
  }),
);

const NUMBERS = Array.from({ length: 56 }, (_, n) => n + 1);

test("the manual's table has every hazard", () => {
  expect([...new Set(rows.map(({ number }) => number))]).toEqual(NUMBERS);
});

test('and each of its tests on five versions of libvirt, once', () => {
  for (const title of new Set(rows.map(({ number, what }) => `${number}: ${what}`))) {
    const versions = rows
      .filter(({ number, what }) => `${number}: ${what}` === title)
      .flatMap(({ versions }) => versions.replace('all', '7.0, 9.0, 11.3, 12.8, 12.9').split(', '));
    expect([title, [...versions].sort()]).toEqual([title, ['11.3', '12.8', '12.9', '7.0', '9.0']]);
  }
});
