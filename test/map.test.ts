import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const src = fileURLToPath(new URL('../src', import.meta.url));
const MAP = readFileSync(`${src}/README.md`, 'utf8');

test('the map of the house has every room', () => {
  const rooms = readdirSync(src, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(rooms.map(({ name }) => name).filter((name) => !MAP.includes(`\`${name}\``))).toEqual([]);
});

/** The user's card, and what npm, biome and a reader of releases insist on. */
const TOP_LEVEL = [
  'package.json',
  'tsconfig.json',
  'src',
  'bin',
  'test',
  'README.md',
  'package-lock.json',
  'biome.json',
  'LICENSE',
  'CHANGELOG.md',
  // made by npm and by `npm run package`, and not kept
  'build',
  'dist',
  'node_modules',
];

test('nothing else is at the top level', () => {
  const seen = readdirSync(`${src}/..`).filter((name) => !name.startsWith('.'));
  expect(seen.filter((name) => !TOP_LEVEL.includes(name))).toEqual([]);
});

test('each file that it names exists', () => {
  const named = [...MAP.matchAll(/\b((?:[a-z-]+\/)+[\w-]+\.ts|[a-z-]+\/rules\/)/g)].map(([path]) => path);
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((path) => !existsSync(`${src}/${path}`))).toEqual([]);
});
