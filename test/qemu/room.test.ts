import { describe, expect, test } from 'vitest';
import { snapshotClusters, spareClusters } from '../../src/qemu/qcow2/room.ts';
import { buildImage, portOf, type Recipe } from './qcow2-builder.ts';

const RECIPE: Recipe = {
  diskTables: 1,
  tables: { disk: ['a', 'b'] },
  active: ['disk'],
  snapshots: { 1: ['disk'] },
};

/** Clusters of 512 bytes; a block of counts covers 256 of them. */
const CLUSTER = 512;

function spare(extraClusters: number, enough = 1000, changes: Partial<Recipe> = {}) {
  const bytes = buildImage({ ...RECIPE, ...changes });
  const port = portOf(bytes);
  return spareClusters(port, bytes.length + extraClusters * CLUSTER, enough);
}

describe('clusters that can be added', () => {
  test('none in an image that fills its device', () => expect(spare(0)).toBe(0));

  test('those up to the end of the device', () => expect(spare(3)).toBe(3));

  test('those to which nothing refers any more', () => {
    const bytes = buildImage({ ...RECIPE, row: ['gone', 'gone too'] });
    expect(spareClusters(portOf(bytes), bytes.length, 1000)).toBe(2);
  });

  test('a block of counts that is not there takes one of those that it would count', () => {
    const bytes = buildImage(RECIPE);
    const clusters = bytes.length / CLUSTER;
    expect(spareClusters(portOf(bytes), 300 * CLUSTER, 1000)).toBe(256 - clusters + (300 - 256 - 1));
  });

  test('no more is counted than is asked for', () => {
    expect(spareClusters(portOf(buildImage(RECIPE)), 100_000 * CLUSTER, 5)).toBeLessThan(300);
  });

  test('a part of a cluster is none', () => {
    const bytes = buildImage(RECIPE);
    expect(spareClusters(portOf(bytes), bytes.length + CLUSTER - 1, 1000)).toBe(0);
  });
});

test('a snapshot takes a copy of the L1 table, and the list of all snapshots', () => {
  expect(snapshotClusters(portOf(buildImage(RECIPE)))).toBe(2);
});
