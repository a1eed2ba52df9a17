import { describe, expect, test } from 'vitest';
import { findOrphans } from '../../src/check/orphans.ts';
import type { Domain } from '../../src/model/domain.ts';
import type { DiskImage, Image, Tag } from '../../src/model/image.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { type ImageUsers, NOBODY } from '../../src/sharing/image-users.ts';
import { disk, domain, seen, snapshot, TAKEN_AT, tag, usedBy } from '../model.ts';

interface Given {
  readonly vm?: Partial<Domain>;
  readonly snapshots?: readonly Snapshot[];
  readonly vda: readonly Tag[];
  /** Names of snapshots that libvirt does not tell of. */
  readonly unread?: readonly string[];
  readonly vdb?: readonly Tag[] | DiskImage;
  readonly image?: Partial<Image>;
  readonly users?: ImageUsers;
}

function statuses({ vm, snapshots = [], unread = [], vda, vdb = vda, image, users = NOBODY }: Given) {
  const second =
    'kind' in vdb
      ? vdb
      : seen({ path: '/vm/vdb.qcow2', tags: vdb.map((each) => ({ ...each, vmStateBytes: 0 })) });
  const found = findOrphans({
    domain: domain({ disks: [disk(), disk({ target: 'vdb' })], ...vm }),
    snapshots,
    unread: unread.map((name) => ({ name })),
    users,
    images: new Map([
      ['vda', seen({ tags: vda, ...image })],
      ['vdb', second],
    ]),
  });
  return Object.fromEntries(found.map(({ name, status }) => [name, status]));
}

const at = (name: string, seconds: number, changes: Partial<Tag> = {}) =>
  tag(name, { id: '7', createdAtSeconds: TAKEN_AT + seconds, ...changes });

const ofBoth = (name: string, seconds = 0) =>
  snapshot(name, {
    createdAtSeconds: TAKEN_AT + seconds,
    disks: ['vda', 'vdb'].map((target) => ({ target, location: 'internal', source: `/vm/${target}.qcow2` })),
  });

describe('complete', () => {
  test('is what every disk holds once, from about one time', () => {
    expect(statuses({ vda: [at('x', 0)], vdb: [at('x', 59)] })).toEqual({
      x: { kind: 'complete', createdAtSeconds: TAKEN_AT, hasMemory: false },
    });
    expect(statuses({ vda: [at('x', 3, { vmStateBytes: 9 })] })).toEqual({
      x: { kind: 'complete', createdAtSeconds: TAKEN_AT + 3, hasMemory: true },
    });
  });

  test('is none that libvirt knows', () => {
    expect(statuses({ snapshots: [ofBoth('x')], vda: [at('x', 0)] })).toEqual({});
    // even where it does not tell what it knows
    expect(statuses({ unread: ['x'], vda: [at('x', 0)] })).toEqual({});
  });
});

describe('unclear', () => {
  test.each<[string, Given]>([
    ['disk vdb does not contain it', { vda: [at('x', 0)], vdb: [] }],
    ['disk vda contains it 2 times', { vda: [at('x', 0), at('x', 0)], vdb: [at('x', 0)] }],
    [
      'its tags in the disks are from different times, so they are not one snapshot',
      { vda: [at('x', 0)], vdb: [at('x', 61)] },
    ],
    [
      'disk vdb cannot be inspected',
      { vda: [at('x', 0)], vdb: { kind: 'unseen', why: 'permission', format: null, source: 'storage pool' } },
    ],
    ['disk vdb is not qcow2', { vda: [at('x', 0)], vdb: seen({ format: 'raw' }) }],
    [
      'disk vdb is not qcow2',
      { vda: [at('x', 0)], vm: { disks: [disk(), disk({ target: 'vdb', driver: 'raw' })] } },
    ],
    [
      "the VM's XML has snapshot='no' for disk vdb",
      { vda: [at('x', 0)], vm: { disks: [disk(), disk({ target: 'vdb', snapshot: 'no' })] } },
    ],
    [
      'the VM has UEFI firmware, and it is unknown whether the snapshot includes the NVRAM',
      { vda: [at('x', 0)], vm: { pflash: { nvramFormat: 'qcow2', nvramPath: null } } },
    ],
    [
      'in disk vda its name is the id of known',
      { snapshots: [ofBoth('known')], vda: [at('known', -9, { id: '5' }), at('5', 0)] },
    ],
  ])('%s', (why, given) => {
    expect(Object.values(statuses(given))).toEqual([{ kind: 'unclear', why }]);
  });

  test.each<[string, RegExp]>([
    ['a/b', /'\/'/],
    ['\ufffd', /not valid UTF-8/],
    ['bell\x07', /control/],
    ['n'.repeat(248), /248 bytes long, and the limit is 247/],
  ])('a name that libvirt cannot keep: %j', (name, why) => {
    expect(Object.values(statuses({ vda: [at(name, 0)] }))).toEqual([
      { kind: 'unclear', why: expect.stringMatching(why) },
    ]);
    expect(Object.values(statuses({ vda: [at('n'.repeat(247), 0)] }))).toMatchObject([{ kind: 'complete' }]);
  });

  test('two memories', () => {
    const vda = [at('x', 0, { vmStateBytes: 9 })];
    expect(statuses({ vda, vdb: seen({ path: '/vm/vdb.qcow2', tags: vda }) })).toMatchObject({
      x: { kind: 'unclear' },
    });
  });
});

describe('incomplete', () => {
  const half = at('half', 10);
  const base = [ofBoth('base')];

  test('is what a disk lacks that was part of the VM before', () => {
    expect(statuses({ snapshots: base, vda: [at('base', 0), half], vdb: [at('base', 0)] })).toEqual({
      half: { kind: 'incomplete', lacking: ['vdb'] },
    });
    // by a snapshot that libvirt does not know either, and that is whole
    expect(statuses({ vda: [at('w', 0), half], vdb: [at('w', 0)] })).toMatchObject({
      w: { kind: 'complete' },
      half: { kind: 'incomplete', lacking: ['vdb'] },
    });
  });

  test.each<[string, Given]>([
    [
      'a disk that may have come later',
      { snapshots: base, vda: [half, at('base', 20)], vdb: [at('base', 20)] },
    ],
    ['the same second', { snapshots: base, vda: [half, at('base', 10)], vdb: [at('base', 10)] }],
    ['a tag of another VM', { snapshots: base, vda: [at('base', 0), half], vdb: [at('other', 0)] }],
    [
      'a snapshot that was taken without that disk',
      { snapshots: [snapshot('base')], vda: [at('base', 0), half], vdb: [at('base', 0)] },
    ],
    ['twins', { snapshots: base, vda: [at('base', 0), half, half], vdb: [at('base', 0)] }],
    [
      'a disk that cannot be looked at',
      {
        snapshots: base,
        vda: [at('base', 0), half],
        vdb: { kind: 'broken', why: 'missing', path: '/vm/vdb.qcow2', detail: '' },
      },
    ],
  ])('is not proven by: %s', (_, given) => {
    expect(statuses(given)['half']).toMatchObject({ kind: 'unclear' });
  });
});

describe('an image that another VM uses', () => {
  const shared = (...snapshots: string[]) => usedBy('/vm/vda.qcow2', { kind: 'tags', snapshots });

  test('a tag that a snapshot of another VM accounts for is no orphan', () => {
    expect(statuses({ vda: [at('x', 0)], vdb: [], users: shared('x') })).toEqual({});
  });

  test('and nothing of what it may account for is whole or half', () => {
    const snapshots = [ofBoth('old', -9)];
    const tags = [at('old', -9), at('x', 0)];
    expect(statuses({ snapshots, vda: tags, vdb: tags, users: shared('x') })).toMatchObject({
      x: { kind: 'unclear', why: expect.stringMatching(/VM web-2/) },
    });
    const half = { snapshots, vda: tags, vdb: [at('old', -9)] };
    expect(statuses(half)).toMatchObject({ x: { kind: 'incomplete' } });
    expect(statuses({ ...half, users: usedBy('/vm/vda.qcow2', {}) })).toMatchObject({
      x: { kind: 'unclear' },
    });
    expect(statuses({ ...half, users: { ...NOBODY, unknown: ['web-9'] } })).toMatchObject({
      x: { kind: 'unclear', why: expect.stringMatching(/web-9 could not be read/) },
    });
  });
});
