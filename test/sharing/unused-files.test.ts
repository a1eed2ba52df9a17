import { describe, expect, test } from 'vitest';
import { type FileHead, unusedFilesAmong } from '../../src/sharing/unused-files.ts';
import { domain } from '../model.ts';

const UUID = domain().uuid;
const head = (path: string, over: string | null = null, memoryOf: string | null = null): FileHead => ({
  path,
  over,
  memoryOf,
});

describe('left over', () => {
  const own = new Set(['/vm/base', '/vm/kept.mem']);
  const among = (heads: readonly FileHead[], others: readonly string[] = []) =>
    unusedFilesAmong(heads, UUID, own, new Set(others)).map(({ path }) => path);

  test('is the memory of this VM that is not its own', () => {
    expect(
      among([head('/vm/kept.mem', null, UUID), head('/vm/a', null, UUID), head('/vm/b', null, 'another')]),
    ).toEqual(['/vm/a']);
  });

  test('is an overlay of what is its own, and one of such an overlay, in any order', () => {
    const heads = [
      head('/vm/2', '/vm/1'),
      head('/vm/1', '/vm/base'),
      head('/vm/x', '/vm/other'),
      head('/vm/base'),
    ];
    expect(among(heads)).toEqual(['/vm/2', '/vm/1']);
  });

  test('is not what another VM uses, nor what lies below that', () => {
    const heads = [head('/vm/2', '/vm/1'), head('/vm/1', '/vm/base')];
    expect(among(heads, ['/vm/2'])).toEqual([]);
    expect(among(heads, ['/vm/1'])).toEqual([]);
  });

  test('two files that lie on each other come to an end', () => {
    expect(among([head('/vm/2', '/vm/1'), head('/vm/1', '/vm/2')], ['/vm/1'])).toEqual([]);
  });
});
