import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { commandLine, kvmsnapLine, quote, virshWord } from '../../src/core/quote.ts';
import { anyName } from '../any-name.ts';
import { domain } from '../model.ts';

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
    ['a\nb', "'a\nb'"],
  ])('%j -> %s', (word, quoted) => {
    expect(quote(word)).toBe(quoted);
  });

  test('is the word again for a shell', () => {
    const words = fc.sample(anyName, 500);
    const line = commandLine('printf', ['%s\\0', ...words, 'end']);
    const printed = execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' });
    expect(printed.split('\0').slice(0, -1)).toEqual([...words, 'end']);
  });
});

describe('how a hint names a machine to virsh', () => {
  const uuid = '423f4d57-8887-409e-a29c-e2ee1690a61b';
  const otherUuid = 'ce071378-23f7-48f1-8a97-0df051da4c34';

  test.each([
    ['centos7-1', 'centos7-1'],
    ['my machine', "'my machine'"],
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
