import { describe, expect, test } from 'vitest';
import { reportSnapshots } from '../../src/model/report.ts';
import { growTree } from '../../src/model/tree.ts';
import { SNAPSHOT_COLUMNS, TREE_COLUMNS, treeRows } from '../../src/output/snapshot-columns.ts';
import { MiB, seen, snapshot, TAKEN_AT, tag } from '../model.ts';

const QUIET = { current: null, busy: false, images: null };

/** `a`, `b<a`: a report of snapshots with their parents, each younger than the one before; a tree of it as lines. */
function tree(...words: string[]): string[] {
  const snapshots = words.map((word, i) => {
    const [name = '', parent = null] = word.split('<');
    return snapshot(name, { parent, createdAtSeconds: TAKEN_AT + i });
  });
  const reports = reportSnapshots(snapshots, QUIET);
  return treeRows(growTree(snapshots), new Map(reports.map((report) => [report.name, report]))).map(
    ({ branch, name }) => branch + name,
  );
}

describe('a tree', () => {
  test.each([
    [[], []],
    [['a'], ['a']],
    [
      ['a', 'b<a', 'c<b', 'd<a', 'e<d', 'f'],
      ['a', '├─ b', '│  └─ c', '└─ d', '   └─ e', 'f'],
    ],
    [
      ['a<gone', 'b<a'],
      ['a', '└─ b'],
    ],
    [
      ['a<b', 'b<a'],
      ['a', 'b'],
    ],
  ])('%j', (words, lines) => {
    expect(tree(...words)).toEqual(lines);
  });

  test('1000 deep', () => {
    const lines = tree('s0', ...Array.from({ length: 999 }, (_, i) => `s${i + 1}<s${i}`));
    expect(lines).toHaveLength(1000);
    expect(lines.at(-1)).toBe(`${'   '.repeat(998)}└─ s999`);
  });
});

describe('the columns', () => {
  const saved = snapshot('s1', {
    state: 'running',
    parent: 's0',
    description: 'why',
    memory: { location: 'internal', file: null },
  });
  const images = new Map([['vda', seen({ tags: [tag('s1', { vmStateBytes: 3 * MiB })] })]]);

  const cells = (facts: Partial<Parameters<typeof reportSnapshots>[1]>, of = saved) => {
    const [report] = reportSnapshots([of], { ...QUIET, ...facts });
    return report && Object.fromEntries(SNAPSHOT_COLUMNS.map(({ key, value }) => [key, value(report)]));
  };

  test('show a snapshot', () => {
    expect(cells({ current: 's1', images })).toEqual({
      current: true,
      name: 's1',
      createdAt: TAKEN_AT,
      state: 'running',
      parent: 's0',
      vmStateBytes: 3 * MiB,
      moved: null,
      description: 'why',
    });
  });

  test('show one without memory, and one whose images nobody looked at, without a size', () => {
    expect(cells({ images }, snapshot('s1'))).toMatchObject({ vmStateBytes: null, current: false });
    expect(cells({ images: null })).toMatchObject({ vmStateBytes: null });
  });

  test('say when libvirt still writes it', () => {
    expect(cells({ busy: true, images: new Map() })).toMatchObject({ state: 'under way' });
  });

  test('of a tree are the same but for the parent, which is drawn', () => {
    const keys = SNAPSHOT_COLUMNS.map(({ key }) => key).filter((key) => key !== 'parent');
    expect(TREE_COLUMNS.map(({ key }) => key)).toEqual(keys);
    const [row] = treeRows(
      growTree([saved]),
      new Map(reportSnapshots([saved], QUIET).map((r) => [r.name, r])),
    );
    const name = TREE_COLUMNS.find(({ key }) => key === 'name');
    expect(row && name?.value({ ...row, branch: '└─ ' })).toBe('└─ s1');
  });
});
