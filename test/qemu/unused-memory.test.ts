import { describe, expect, test } from 'vitest';
import { readUnusedMemory } from '../../src/qemu/qcow2/unused-memory.ts';
import { buildImage, portOf, type Recipe } from './qcow2-builder.ts';

/** Clusters of 512 bytes: a table covers 32 KiB, and the disk is the first of them. */
const RECIPE: Recipe = {
  diskTables: 1,
  tables: {
    disk: ['a', 'b'],
    mine: ['m', null, 'n', { zero: 'z' }],
    memory: ['x', 'y'],
    empty: [null],
  },
  active: ['disk', 'mine'],
  snapshots: { 1: ['disk', 'memory'] },
};

const left = (changes: Partial<Recipe> = {}) =>
  readUnusedMemory(portOf(buildImage({ ...RECIPE, ...changes })));

const NOTHING = { bytes: 0, endBytes: 0 };

describe('behind the end of the disk', () => {
  test.each<[string, Partial<Recipe>, object]>([
    ['is what the image alone refers to', {}, { bytes: 3 * 512, endBytes: 2 * 32_768 }],
    [
      'up to the last table of them',
      { active: ['disk', null, 'mine', 'empty'] },
      { bytes: 3 * 512, endBytes: 3 * 32_768 },
    ],
    ['is not the memory of a snapshot that was reverted to', { active: ['disk', 'memory'] }, NOTHING],
    ['are empty tables', { active: ['disk', 'empty'] }, NOTHING],
    ['is nothing', { active: ['disk'] }, NOTHING],
    ['is none of the disk', { diskTables: 2 }, NOTHING],
  ])('%s', async (_, changes, expected) => {
    expect(await left(changes)).toEqual(expected);
  });

  test('nobody can tell of an image whose counts may be wrong, or that is none', async () => {
    expect(await left({ dirty: true })).toBeNull();
    expect(await readUnusedMemory(portOf(Buffer.alloc(4096)))).toBeNull();
  });

  test('of an image without it little is read', async () => {
    const port = portOf(buildImage({ ...RECIPE, active: ['disk'] }));
    await readUnusedMemory(port);
    expect(port.total.bytes).toBeLessThan(512);
  });

  test('what lies beyond the file is left out', async () => {
    const bytes = buildImage(RECIPE);
    // the entry of `mine` in the L1 table, the fourth cluster
    bytes.writeBigUInt64BE(BigInt(2 ** 40), 3 * 512 + 8);
    expect(await readUnusedMemory(portOf(bytes))).toEqual(NOTHING);
  });
});
