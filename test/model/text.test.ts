import { expect, test } from 'vitest';
import { allInText, diskInText, disksInText, inText, mentions, someInText } from '../../src/model/text.ts';

test.each([
  ['web-1', 'web-1'],
  ['before_upgrade.2', 'before_upgrade.2'],
  ['1649751390', '1649751390'],
  ['再来', '再来'],
  ['nightly-20260101T000000Z', 'nightly-20260101T000000Z'],
  ['web 1', "'web 1'"],
  ["it's", "'it's'"],
  ['-x', "'-x'"],
  ['db-*', "'db-*'"],
  ['ends.', "'ends.'"],
  ['a/b', "'a/b'"],
  ['a\nb', "'a\nb'"],
  ['', "''"],
])('the name %j within a sentence is %s', (name, text) => {
  expect(inText(name)).toBe(text);
});

test('several names: each as it stands alone', () => {
  expect(allInText(['a', 'b c'])).toBe("a, 'b c'");
});

test('many names: the first five, and how many more', () => {
  expect(someInText(['a', 'b c'])).toBe("a, 'b c'");
  expect(someInText([...'abcdefg'])).toBe('a, b, c, d, e and 2 more');
});

test('a sentence mentions a VM by its whole name only', () => {
  expect(mentions('cannot revert web-1 to s1: disk vda', 'web-1')).toBe(true);
  expect(mentions('cannot revert web-1 to s1: disk vda', 'web')).toBe(false);
  expect(mentions('/images/web-1.qcow2 is missing', 'web-1')).toBe(false);
  expect(mentions("cannot revert 'web 1' to s1", 'web 1')).toBe(true);
});

test('disks: one or several, with the path where there is one', () => {
  expect([disksInText(['vda']), disksInText(['vda', 'vdb'])]).toEqual(['disk vda', 'disks vda, vdb']);
  expect(diskInText({ target: 'vda', source: '/a' })).toBe('disk vda (/a)');
  expect(diskInText({ target: 'vda', source: null })).toBe('disk vda');
});
