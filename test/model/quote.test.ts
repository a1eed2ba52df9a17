import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  commandLine,
  kvmsnapLine,
  quote,
  UNPRINTABLE,
  virshQuote,
  virshWord,
} from '../../src/model/quote.ts';
import { visible } from '../../src/output/format.ts';
import { anyName } from '../any-name.ts';
import { parseScript } from '../libvirt/virsh-script.ts';
import { domain } from '../model.ts';

/** Without the files that a person's own read. */
const SHELLS = [
  { name: 'bash', options: ['--norc'] },
  { name: 'zsh', options: ['-f'] },
] as const;

describe('a quoted word', () => {
  test.each([
    ['centos7-1', 'centos7-1'],
    ['/vm/a_b.qcow2', '/vm/a_b.qcow2'],
    ['qemu+ssh://root@host:22/system', 'qemu+ssh://root@host:22/system'],
    ['', "''"],
    ['two words', "'two words'"],
    ["it's", "'it'\\''s'"],
    ['$(reboot)', "'$(reboot)'"],
    ['a;b', "'a;b'"],
    ['#1', "'#1'"],
    ['~', "'~'"],
    ['a*', "'a*'"],
    ['快照', "'快照'"],
    ['a\nb', "$'a\\nb'"],
    ['tab\there', "$'tab\\there'"],
    ["it's a\\b\r", "$'it\\'s a\\\\b\\r'"],
    ['\x1b[31m\x07f', "$'\\x1b[31m\\x07f'"],
    ['\u0085快\u202e', "$'\\xc2\\x85快\\xe2\\x80\\xae'"],
  ])('%j -> %s', (word, quoted) => {
    expect(quote(word)).toBe(quoted);
  });

  const inShell = ([shell = '', ...options]: readonly string[], words: readonly string[]): string[] => {
    const line = commandLine('printf', ['%s\\0', ...words, 'end']);
    const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' };
    const printed = execFileSync(shell, [...options, '-c', line], { encoding: 'utf8', env });
    return printed.split('\0').slice(0, -1);
  };
  const words = fc.sample(anyName, 500);
  const ofControls = fc.sample(
    fc.string({
      unit: fc.constantFrom(...'\x01\x1b\x7f\n\t\r\u0085\u2028\u202e\u2066\'\\"$`!0af8 快😀'),
      maxLength: 12,
    }),
    500,
  );

  test.each(SHELLS.filter(({ name, options }) => spawnSync(name, [...options, '-c', 'exit']).status === 0))(
    'is the word again for $name',
    ({ name, options }) => {
      expect(inShell([name, ...options], words)).toEqual([...words, 'end']);
      expect(inShell([name, ...options], ofControls)).toEqual([...ofControls, 'end']);
    },
  );

  test('is the word again for any sh, where it has nothing that cannot be pasted', () => {
    const plain = words.filter((word) => !UNPRINTABLE.test(word));
    expect(plain.length).toBeGreaterThan(50);
    expect(inShell(['/bin/sh'], plain)).toEqual([...plain, 'end']);
  });

  test('holds nothing that a terminal shows otherwise, so that it can be pasted', () => {
    const quoted = [...words, ...ofControls].map(quote);
    expect(quoted.filter((text) => text !== visible(text))).toEqual([]);
  });

  test("is virsh's own again", () => {
    for (const word of [...words, ...ofControls]) expect(parseScript(virshQuote(word))).toEqual([[word]]);
  });
});

describe('how a hint names a VM to virsh', () => {
  const uuid = '423f4d57-8887-409e-a29c-e2ee1690a61b';
  const otherUuid = 'ce071378-23f7-48f1-8a97-0df051da4c34';

  test.each([
    ['centos7-1', 'centos7-1'],
    ['my VM', "'my VM'"],
    ['_x', '_x'],
    ['101', uuid],
    [' 101', uuid],
    ['+5', uuid],
    ['--all', uuid],
    ['虚拟机', uuid],
    [otherUuid, uuid],
    ['a'.repeat(36), uuid],
  ])('%j -> %s', (name, word) => {
    expect(virshWord(domain({ name, uuid }))).toBe(word);
  });
});

test.each([
  [['vm', 's 1'], [], "kvmsnap delete vm 's 1'"],
  [['vm', '-x'], [], 'kvmsnap delete -- vm -x'],
  [['-vm', 's1'], ['--metadata'], 'kvmsnap delete --metadata -- -vm s1'],
])('a line of kvmsnap for %j with %j', (names, options, line) => {
  expect(kvmsnapLine('delete', names, ...options)).toBe(line);
});

test('a word that zsh would take for the path of a command is quoted', () => {
  expect([quote('=ls'), quote('a=b'), quote('--x=y')]).toEqual(["'=ls'", 'a=b', '--x=y']);
});
