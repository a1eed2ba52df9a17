import { describe, expect, test } from 'vitest';
import type { DeleteScope } from '../../src/delete/deletion-set.ts';
import { afterDeletion, type DeletionState } from '../../src/delete/simulate.ts';
import type { DiskImage } from '../../src/model/image.ts';
import { reportSnapshots } from '../../src/model/report.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { disk, domain, seen, snapshot, tag } from '../model.ts';

const path = (ending: string) => `/vm/vda.${ending}`;

const external = (name: string, parent: string | null, createdAtSeconds: number): Snapshot =>
  snapshot(name, {
    parent,
    createdAtSeconds,
    disks: [{ target: 'vda', location: 'external', source: path(name) }],
  });

const internal = (name: string, parent: string | null, createdAtSeconds: number, on: string): Snapshot =>
  snapshot(name, {
    parent,
    createdAtSeconds,
    disks: [{ target: 'vda', location: 'internal', source: path(on) }],
  });

const link = (ending: string, over: string | null, ...tags: string[]) => ({
  path: path(ending),
  backing: over === null ? null : path(over),
  tags: tags.map((name) => tag(name)),
});

/** b within the base, e1 and e2 over it, and t within e2. */
const LINE = [
  internal('b', null, 1, 'qcow2'),
  external('e1', 'b', 2),
  external('e2', 'e1', 3),
  internal('t', 'e2', 4, 'e2'),
];
const CHAIN = seen(link('e2', 'e1', 't'), link('e1', 'qcow2'), link('qcow2', null, 'b'));

function vm(snapshots = LINE, current: string | null = 't', image: DiskImage = CHAIN): DeletionState {
  const images = new Map([['vda', image]]);
  return {
    domain: domain({ disks: [disk({ source: path('e2'), backing: [path('e1'), path('qcow2')] })] }),
    snapshots: reportSnapshots(snapshots, { current, busy: false, images }),
    current,
    images,
  };
}

/** One after the other; null where the end is not foreseen. */
function leftBy(before: DeletionState, names: readonly string[], scope: DeleteScope = 'only') {
  let now: DeletionState | null = before;
  for (const name of names) {
    const found: DeletionState['snapshots'][number] | undefined = now?.snapshots.find(
      (each) => each.name === name,
    );
    now = now && found ? afterDeletion(now, found, scope) : null;
  }
  const image = now?.images.get('vda');
  const [vda] = now?.domain.disks ?? [];
  return (
    now && {
      tree: now.snapshots.map(({ name, parent, children, isCurrent }) => [name, parent, children, isCurrent]),
      current: now.current,
      chain:
        image?.kind === 'seen' ? image.chain.map((each) => [each.path, each.backing, each.tags.length]) : [],
      disk: [vda?.source, ...(vda?.backing ?? [])],
    }
  );
}

describe('what a deletion leaves', () => {
  test('an internal one: its tag goes from the image that holds it, wherever that is in the chain', () => {
    expect(leftBy(vm(), ['b', 't'])).toEqual({
      tree: [
        ['e1', null, ['e2'], false],
        ['e2', 'e1', [], true],
      ],
      current: 'e2',
      chain: [
        [path('e2'), path('e1'), 0],
        [path('e1'), path('qcow2'), 0],
        [path('qcow2'), null, 0],
      ],
      disk: [path('e2'), path('e1'), path('qcow2')],
    });
  });

  test('an external one in the middle: what lay on its overlay lies on the file below', () => {
    expect(leftBy(vm(), ['e1'])).toMatchObject({
      tree: [
        ['b', null, ['e2'], false],
        ['e2', 'b', ['t'], false],
        ['t', 'e2', [], true],
      ],
      chain: [
        [path('e2'), path('qcow2'), 1],
        [path('qcow2'), null, 1],
      ],
      disk: [path('e2'), path('qcow2')],
    });
  });

  test('the newest: the VM is on the file below, and the parent is current', () => {
    expect(leftBy(vm(), ['t', 'e2'])).toMatchObject({
      current: 'e1',
      chain: [
        [path('e1'), path('qcow2'), 0],
        [path('qcow2'), null, 1],
      ],
      disk: [path('e1'), path('qcow2')],
    });
    expect(leftBy(vm(), ['t', 'b', 'e2', 'e1'])).toEqual({
      tree: [],
      current: null,
      chain: [[path('qcow2'), null, 0]],
      disk: [path('qcow2')],
    });
  });

  test('the only one over a raw image: the VM is on that, as raw', () => {
    const raw = { path: path('raw'), format: 'raw' };
    const image = seen({ path: path('e1'), backing: raw.path }, raw);
    const before = vm([external('e1', null, 1)], 'e1', image);
    const [e1] = before.snapshots;
    const disks = [disk({ source: path('e1'), backing: [raw.path] })];
    const after = e1 && afterDeletion({ ...before, domain: domain({ disks }) }, e1, 'only');
    expect(after?.domain.disks).toEqual([disk({ source: raw.path, driver: 'raw', backing: [] })]);
  });

  test('internal ones with their children', () => {
    const all = [internal('a', null, 1, 'e2'), internal('b', 'a', 2, 'e2'), internal('c', 'b', 3, 'e2')];
    const image = seen(link('e2', null, 'a', 'b', 'c'));
    const before = vm(all, 'c', image);
    expect(leftBy(before, ['b'], 'children')).toMatchObject({
      tree: [['a', null, [], true]],
      chain: [[path('e2'), null, 1]],
    });
    expect(leftBy(before, ['a'], 'children-only')).toMatchObject({
      tree: [['a', null, [], true]],
      current: 'a',
    });
  });
});

describe('what an external one leaves is not foreseen', () => {
  test.each([
    ['beside a branch', vm([...LINE, external('x', 'e1', 5)])],
    ['with another root', vm([...LINE, internal('x', null, 5, 'qcow2')])],
    ['above the current one', vm(LINE, 'e1')],
    ['with no current one', vm(LINE, null)],
    ['when its overlay is not in the chain', vm(LINE, 't', seen(link('other', null)))],
    ['when there is nothing below', vm(LINE, 't', seen(link('e1', null)))],
    [
      'when the images were not seen',
      vm(LINE, 't', { kind: 'broken', why: 'missing', path: '', detail: '' }),
    ],
  ])('%s', (_, before) => {
    expect(leftBy(before, ['e1'])).toBeNull();
  });

  test('with its children', () => expect(leftBy(vm(), ['e1'], 'children')).toBeNull());
});
