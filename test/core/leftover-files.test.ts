import { describe, expect, test } from 'vitest';
import { type FileHead, filesOf, leftoversAmong } from '../../src/core/leftover-files.ts';
import { disk, domain, seen, snapshot } from '../model.ts';

const UUID = domain().uuid;
const head = (path: string, over: string | null = null, memoryOf: string | null = null): FileHead => ({
  path,
  over,
  memoryOf,
});

test('a machine names its disks, what lies below them, and all that its snapshots name', () => {
  const files = filesOf(
    domain({ disks: [disk({ source: '/vm/top' }), disk({ target: 'vdb', source: null })] }),
    [
      snapshot('a', {
        memory: { location: 'external', file: '/vm/a.mem' },
        disks: [{ target: 'vda', location: 'external', source: '/vm/overlay' }],
        definedDisks: [{ target: 'vda', source: '/vm/state' }],
      }),
    ],
    new Map([['vda', seen({ path: '/vm/top' }, { path: '/vm/base' }, { path: 'nbd://host/x' })]]),
  );
  expect([...files].sort()).toEqual(['/vm/a.mem', '/vm/base', '/vm/overlay', '/vm/state', '/vm/top']);
});

describe('left over', () => {
  const own = new Set(['/vm/base', '/vm/kept.mem']);
  const among = (heads: readonly FileHead[], others: readonly string[] = []) =>
    leftoversAmong(heads, UUID, own, new Set(others)).map(({ path }) => path);

  test('is the memory of this machine that is not its own', () => {
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

  test('is not what another machine uses, nor what lies below that', () => {
    const heads = [head('/vm/2', '/vm/1'), head('/vm/1', '/vm/base')];
    expect(among(heads, ['/vm/2'])).toEqual([]);
    expect(among(heads, ['/vm/1'])).toEqual([]);
  });

  test('two files that lie on each other come to an end', () => {
    expect(among([head('/vm/2', '/vm/1'), head('/vm/1', '/vm/2')], ['/vm/1'])).toEqual([]);
  });
});
