import { describe, expect, test } from 'vitest';
import { reportSnapshots } from '../../src/model/report.ts';
import { growTree } from '../../src/model/tree.ts';
import { legend, SNAPSHOT_COLUMNS, TREE_COLUMNS } from '../../src/output/snapshot-columns.ts';
import { treeRows } from '../../src/output/table/tree.ts';
import { MiB, seen, snapshot, TAKEN_AT, tag } from '../model.ts';

const QUIET = { current: null, busy: false, images: null };

/** `a`, `b<a`: snapshots with their parents, each younger than the one before; the current one ends with `!`. Their tree as lines. */
function tree(...words: string[]): string[] {
  const current = words.find((word) => word.endsWith('!'))?.replace(/<.*|!/g, '') ?? null;
  const snapshots = words.map((word, i) => {
    const [name = '', parent = null] = word.replace('!', '').split('<');
    return snapshot(name, { parent, createdAtSeconds: TAKEN_AT + i });
  });
  const reports = reportSnapshots(snapshots, { ...QUIET, current });
  return treeRows(growTree(snapshots), new Map(reports.map((report) => [report.name, report]))).map(
    ({ lead, name }) => lead + name,
  );
}

describe('a tree', () => {
  test.each([
    ['nothing', [], []],
    ['one', ['a'], ['a']],
    ['a chain, without an indent', ['a', 'b<a', 'c<b'], ['a', 'b', 'c']],
    ['a fork: the youngest goes on', ['a', 'b<a', 'c<b', 'd<a', 'e<d'], ['a', '├─ b', '│  c', 'd', 'e']],
    [
      'a fork: what leads to the current one goes on',
      ['a', 'b<a', 'c<b!', 'd<a', 'e<d'],
      ['a', '├─ d', '│  e', 'b', 'c'],
    ],
    [
      'a fork of three, and one in a side branch',
      ['a', 'b<a', 'c<b', 'd<b', 'e<a', 'f<a'],
      ['a', '├─ b', '│  ├─ c', '│  d', '├─ e', 'f'],
    ],
    [
      'fork after fork in the main line: the indent does not grow',
      ['a', 'b<a', 'c<a', 'd<c', 'e<c', 'f<e', 'g<e'],
      ['a', '├─ b', 'c', '├─ d', 'e', '├─ f', 'g'],
    ],
    ['several roots', ['a', 'b<a', 'c<a', 'f', 'g<f'], ['─ a', '  ├─ b', '  c', '─ f', '  g']],
    ['a parent that is gone', ['a<gone', 'b<a'], ['a', 'b']],
    ['a cycle', ['a<b', 'b<a'], ['─ a', '─ b']],
  ])('%s', (_, words, lines) => {
    expect(tree(...words)).toEqual(lines);
  });

  test('1000 deep', () => {
    const lines = tree('s0', ...Array.from({ length: 999 }, (_, i) => `s${i + 1}<s${i}`));
    expect(lines).toHaveLength(1000);
    expect(lines.at(-1)).toBe('s999');
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
      current: '*',
      name: 's1',
      createdAt: TAKEN_AT,
      state: 'running',
      kind: 'internal',
      parent: 's0',
      memoryBytes: 3 * MiB,
      moved: null,
      verified: null,
      description: 'why',
    });
  });

  test('show one without memory, and one whose images nobody looked at, without its size', () => {
    expect(cells({ images }, snapshot('s1'))).toMatchObject({ memoryBytes: null, current: '' });
    expect(cells({ images: null })).toMatchObject({ memoryBytes: 'saved' });
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
    expect(row && [name?.lead?.({ ...row, lead: '├─ ' }), name?.value(row)]).toEqual(['├─ ', 's1']);
  });

  test('tell the kind, and the state in virsh words', () => {
    const external = [{ target: 'vda', location: 'external', source: '/vm/vda.s1' }];
    expect(cells({}, snapshot('off'))).toMatchObject({ state: 'shut off', kind: 'internal' });
    expect(cells({}, snapshot('off', { disks: external }))).toMatchObject({ kind: 'external' });
    expect(cells({}, snapshot('on', { disks: external, state: 'disk-snapshot' }))).toMatchObject({
      kind: 'disk-only',
    });
  });

  test('mark the current one and those on hold, and say what the marks mean', () => {
    const held = snapshot('h', { description: 'why\n\nKvmsnap-Hold: yes' });
    expect(cells({ current: 'h' }, held)).toMatchObject({ current: '*H', description: 'why' });
    expect(cells({}, held)).toMatchObject({ current: 'H' });
    expect(legend(reportSnapshots([held], QUIET))).toEqual([
      'H on hold: neither delete nor prune removes it',
    ]);
    expect(legend(reportSnapshots([snapshot('a')], { ...QUIET, current: 'a' }))).toEqual([
      '* the current snapshot',
    ]);
    expect(legend(reportSnapshots([snapshot('a')], QUIET))).toEqual([]);
  });
});
