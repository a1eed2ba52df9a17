import { expect, test } from 'vitest';
import { parseSnapshotTree } from '../../src/libvirt/answers.ts';

/** As virsh prints it, its closing blank line taken away. */
const TREE = `root
  |
  +- child
  |   |
  |   +-  leading blank
  |       |
  |       +- +- like a branch
  |         
  +- line
feed
      |
      +- below it
        
alone

| like a branch

line
feed

three
  |
lines
  |
  +- 快照
    
  +- root too

`;

test('a tree of snapshots, without the names of several lines', () => {
  expect(parseSnapshotTree(TREE)).toEqual([
    'root',
    'child',
    ' leading blank',
    '+- like a branch',
    'below it',
    'alone',
    '| like a branch',
    '快照',
    '  +- root too',
  ]);
});

test('no tree', () => {
  expect(parseSnapshotTree('')).toEqual([]);
});
