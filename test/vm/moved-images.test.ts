import { describe, expect, test } from 'vitest';
import type { DiskImage } from '../../src/model/image.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { movedDisks } from '../../src/vm/moved-images.ts';
import { seen, snapshot, TAKEN_AT, tag } from '../model.ts';

const OLD = '/old/vda';
const GONE: DiskImage = { kind: 'broken', why: 'missing', path: OLD, detail: 'gone' };
const at = (target: string, source: string) => ({ target, location: 'internal', source });
const taken = (changes: Partial<Snapshot> = {}) => snapshot('s1', { disks: [at('vda', OLD)], ...changes });
const used = (...images: [string, DiskImage][]) => new Map(images);
const vda = (...tags: ReturnType<typeof tag>[]) => seen({ path: '/new/vda', tags });

const moved = (of: Snapshot, images: ReadonlyMap<string, DiskImage>, old: DiskImage = GONE) =>
  movedDisks(of, images, new Map([['vda', old]]));

describe('a disk was moved', () => {
  test('when the image in use holds the snapshot, and the old path nothing', () => {
    expect(moved(taken(), used(['vda', vda(tag('s1'))]))).toEqual([
      { target: 'vda', from: OLD, to: '/new/vda', below: [], isCopied: false, doubt: null },
    ]);
  });

  test('when another image lies at the old path now', () => {
    const other = seen({ path: OLD, tags: [tag('s2')] });
    expect(moved(taken(), used(['vda', vda(tag('s1'))]), other)).toMatchObject([
      { isCopied: false, doubt: null },
    ]);
  });

  test('and copied when the old path holds the same one', () => {
    const old = seen({ path: OLD, tags: [tag('s1', { id: '9' })] });
    expect(moved(taken(), used(['vda', vda(tag('s1'))]), old)).toMatchObject([
      { isCopied: true, doubt: null },
    ]);
  });

  test('with all that lies beneath it, where the chains are alike', () => {
    const of = taken({
      definedDisks: [{ target: 'vda', source: OLD, driver: 'qcow2', backing: ['/old/base'] }],
    });
    const chain = seen({ path: '/new/vda', tags: [tag('s1')] }, { path: '/new/base' });
    expect(moved(of, used(['vda', chain]))).toMatchObject([{ below: [['/old/base', '/new/base']] }]);
  });

  test('and is another target now', () => {
    expect(moved(taken(), used(['sda', vda(tag('s1'))]))).toMatchObject([{ target: 'vda', to: '/new/vda' }]);
  });

  test('beneath an overlay that was laid over it since', () => {
    const chain = seen({ path: '/new/overlay', tags: [] }, { path: '/new/vda', tags: [tag('s1')] });
    expect(moved(taken(), used(['vda', chain]))).toMatchObject([{ to: '/new/vda', doubt: null }]);
  });
});

describe('it was not', () => {
  test.each<[string, Snapshot, ReadonlyMap<string, DiskImage>, DiskImage | undefined]>([
    [
      'when the image is in use where it was',
      taken(),
      used(['vda', seen({ path: OLD, tags: [] })]),
      undefined,
    ],
    [
      'when it is in use as another disk',
      taken(),
      used(['vda', vda(tag('s1'))], ['vdb', seen({ path: OLD })]),
      undefined,
    ],
    ['when no image in use holds the snapshot', taken(), used(['vda', vda(tag('s2'))]), undefined],
    [
      'when the old path cannot be looked at',
      taken(),
      used(['vda', vda(tag('s1'))]),
      { kind: 'unseen', why: 'permission', format: null, source: 'storage pool' },
    ],
    [
      'when the image in use holds another one of that name, and the old path the right one',
      taken(),
      used(['vda', vda(tag('s1', { createdAtSeconds: TAKEN_AT + 99 }))]),
      seen({ path: OLD, tags: [tag('s1')] }),
    ],
    [
      'when only another disk of the snapshot holds it: that is its own',
      taken({ disks: [at('vda', OLD), at('vdb', '/vm/vdb')] }),
      used(['vdb', seen({ path: '/vm/vdb', tags: [tag('s1')] })]),
      undefined,
    ],
  ])('%s', (_, of, images, old) => {
    expect(moved(of, images, old)).toEqual([]);
  });

  test('when nobody looked at the old path', () => {
    expect(movedDisks(taken(), used(['vda', vda(tag('s1'))]), undefined)).toEqual([]);
  });
});

describe('it is in doubt', () => {
  test.each<[string, ReadonlyMap<string, DiskImage>, RegExp]>([
    [
      'two of the name',
      used(['vda', vda(tag('s1'), tag('s1', { id: '2' }))]),
      /contains 2 snapshots of that name/,
    ],
    ['another time', used(['vda', vda(tag('s1', { createdAtSeconds: TAKEN_AT - 60 }))]), /at another time/],
    ['a memory', used(['vda', vda(tag('s1', { vmStateBytes: 5 }))]), /contains saved memory/],
    [
      'two images',
      used(['sda', vda(tag('s1'))], ['sdb', seen({ path: '/new/b', tags: [tag('s1')] })]),
      /more than one image/,
    ],
  ])('%s', (_, images, doubt) => {
    expect(moved(taken(), images)).toMatchObject([{ doubt: expect.stringMatching(doubt) }]);
  });
});
