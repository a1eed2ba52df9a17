import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { commitLine, convertLine, deleteTagLine, overlayLine } from '../../src/qemu/command-lines.ts';
import { infoArguments } from '../../src/qemu/info.ts';
import { freeUnusedMemoryArguments } from '../../src/qemu/unused-memory.ts';

/** A guest can write the header of any format to its raw disk: no command of ours, run or advised, lets QEMU look for one. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SUBCOMMANDS =
  'amend|check|commit|compare|convert|create|dd|info|map|measure|rebase|resize|snapshot|bitmap';
const namesFormat = /(^|\s)(-f \S+|--image-opts\b.* \S*driver=)/;

test.each([
  infoArguments('/vm/a', 'raw', false).join(' '),
  infoArguments('/vm/a', 'qcow2', true).join(' '),
  ...freeUnusedMemoryArguments('/vm/a', 1, 2).map((args) => args.join(' ')),
  deleteTagLine('s1', '/vm/a,b'),
  convertLine({ path: '/vm/a', format: 'raw' }, '/vm/b', '-U'),
  commitLine('/vm/a', 'qcow2'),
  overlayLine('/vm/a', { path: '/vm/b', format: 'raw' }),
])('%s', (line) => {
  expect(line).toMatch(namesFormat);
});

const texts = [
  ...readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|md)$/.test(path))
    .map((path) => join('src', path)),
  'README.md',
];

test.each(texts)('%s writes out no qemu-img or qemu-io command without its format', (path) => {
  const lines = readFileSync(join(ROOT, path), 'utf8').split('\n');
  const commands = lines.filter(
    (line) =>
      new RegExp(`(qemu-img (${SUBCOMMANDS})|qemu-io) (-|/|\\$|[A-Z'"])`).test(line) &&
      !/^\s*(\*|\/\/|\/\*\*)/.test(line),
  );
  expect(commands.filter((line) => !namesFormat.test(line))).toEqual([]);
});
