import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { childNames, descendants, growTree, oldestFirst, type TreeNode } from '../../src/model/tree.ts';
import { snapshot, TAKEN_AT } from '../model.ts';

/** `a`, `b<a`, `c<b`: snapshots with their parents, each a second younger than the one before. */
function family(...words: string[]): Snapshot[] {
  return words.map((word, i) => {
    const [name = '', parent = null] = word.split('<');
    return snapshot(name, { parent, createdAtSeconds: TAKEN_AT + i });
  });
}

/** A forest as text: `a(b(c) d) e`. */
function drawn(nodes: readonly TreeNode[]): string {
  return nodes
    .map(({ snapshot: { name }, children }) => (children.length === 0 ? name : `${name}(${drawn(children)})`))
    .join(' ');
}

const names = (snapshots: readonly Snapshot[]): string[] => snapshots.map(({ name }) => name);

describe('the order by age', () => {
  test('within one second a parent before its children, else by name', () => {
    const [b, a] = [snapshot('b'), snapshot('a')];
    expect(names(oldestFirst([b, snapshot('z', { createdAtSeconds: 1 }), a]))).toEqual(['z', 'a', 'b']);
    const child = snapshot('0', { parent: 'b' });
    expect(names(oldestFirst([snapshot('00', { parent: '0' }), child, b, a]))).toEqual(['b', '0', '00', 'a']);
  });

  test('a parent before its children, also where the clock was set back between them', () => {
    const dated = (name: string, parent: string | null, hour: number) =>
      snapshot(name, { parent, createdAtSeconds: TAKEN_AT + hour * 3600 });
    const back = [dated('c', 'b', 3), dated('a', null, 10), dated('b', 'a', 12), dated('x', null, 6)];
    expect(names(oldestFirst(back))).toEqual(['a', 'b', 'c', 'x']);
    expect(names(oldestFirst([...back].reverse()))).toEqual(['a', 'b', 'c', 'x']);
  });

  test('labeled ones of one second as they were counted', () => {
    const counted = ['', '-2', '-10'].map((count) => `l-20261123T030000Z${count}`);
    expect(names(oldestFirst([...counted].sort().map((name) => snapshot(name))))).toEqual(counted);
  });

  test('of a cycle is some order', () => {
    const cycle = [
      snapshot('a', { parent: 'b' }),
      snapshot('b', { parent: 'a' }),
      snapshot('c', { parent: 'c' }),
    ];
    expect(names(oldestFirst(cycle)).sort()).toEqual(['a', 'b', 'c']);
  });
});

describe('the tree', () => {
  test.each([
    { of: family(), is: '' },
    { of: family('a', 'b<a', 'c<b', 'd<a', 'e'), is: 'a(b(c) d) e' },
    { of: family('a', 'b<a', 'c<a').reverse(), is: 'a(b c)' },
    { of: family('a<gone', 'b<a'), is: 'a(b)' },
    { of: family('a<a', 'b<a'), is: 'a(b)' },
    { of: family('a<b', 'b<a', 'c<b'), is: 'a b(c)' },
    { of: family('a<c', 'b<a', 'c<b', 'd<c', 'e<d'), is: 'a b c(d(e))' },
  ])('$is', ({ of, is }) => {
    expect(drawn(growTree(of))).toBe(is);
  });

  test('a chain of 1000 is as deep', () => {
    const chain = family('s0', ...Array.from({ length: 999 }, (_, i) => `s${i + 1}<s${i}`));
    let depth = 0;
    for (let [node] = growTree(chain); node; [node] = node.children) depth++;
    expect(depth).toBe(1000);
    expect(descendants(chain, 's0')).toHaveLength(999);
  });

  test('whatever the parents, every snapshot stands in it exactly once', () => {
    const parents = fc.array(fc.option(fc.nat(11), { nil: null }), { maxLength: 10 });
    fc.assert(
      fc.property(parents, (parentOf) => {
        const all = parentOf.map((parent, i) =>
          snapshot(`s${i}`, { parent: parent === null ? null : `s${parent}` }),
        );
        const flat = (nodes: readonly TreeNode[]): string[] =>
          nodes.flatMap((node) => [node.snapshot.name, ...flat(node.children)]);
        expect(flat(growTree(all)).sort()).toEqual(names(all).sort());
      }),
    );
  });
});

describe('children and descendants', () => {
  const all = family('a', 'b<a', 'c<b', 'd<a', 'e', 'f<gone');

  test('the children, oldest first; a parent that is gone has none', () => {
    expect(Object.fromEntries(childNames([...all].reverse()))).toEqual({
      a: ['b', 'd'],
      b: ['c'],
      c: [],
      d: [],
      e: [],
      f: [],
    });
  });

  test.each([
    ['a', ['b', 'd', 'c']],
    ['b', ['c']],
    ['c', []],
    ['nosuch', []],
  ])('below %s: %j', (name, below) => {
    expect(names(descendants(all, name))).toEqual(below);
  });

  test('a cycle ends, and nothing is below itself', () => {
    expect(names(descendants(family('a<c', 'b<a', 'c<b'), 'a'))).toEqual(['b', 'c']);
  });
});
