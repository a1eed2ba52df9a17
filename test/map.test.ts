import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const src = fileURLToPath(new URL('../src', import.meta.url));
const MAP = readFileSync(`${src}/README.md`, 'utf8');

test('the map of the house has every room', () => {
  const rooms = readdirSync(src, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(rooms.map(({ name }) => name).filter((name) => !MAP.includes(`\`${name}\``))).toEqual([]);
});

test('each file that it names exists', () => {
  const named = [...MAP.matchAll(/\b([a-z-]+\/[\w-]+\.ts|[a-z-]+\/rules\/)/g)].map(([path]) => path);
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((path) => !existsSync(`${src}/${path}`))).toEqual([]);
});
