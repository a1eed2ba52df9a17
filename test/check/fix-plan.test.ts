import { describe, expect, test } from 'vitest';
import { fixKey, planFixes, unanswered } from '../../src/check/fix-plan.ts';
import type { CheckFacts } from '../../src/check/rules/facts.ts';
import { NO_LIMITS } from '../../src/check/rules/limits.ts';
import type { Domain } from '../../src/model/domain.ts';
import type { DiskImage, Image, Tag } from '../../src/model/image.ts';
import { withHold } from '../../src/model/marks/hold.ts';
import { reportSnapshots } from '../../src/model/report.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { NO_OBSTACLES, type ObstacleKind, type WriteObstacles } from '../../src/model/write-obstacles.ts';
import { NOBODY } from '../../src/sharing/image-users.ts';
import { domain, MiB, seen, snapshot, TAKEN_AT, tag, usedBy } from '../model.ts';

interface Given {
  readonly vm?: Partial<Domain>;
  readonly snapshots?: readonly Snapshot[];
  readonly tags?: readonly Tag[];
  readonly image?: Partial<Image>;
  readonly stored?: DiskImage;
  readonly backing?: Partial<Image>;
  readonly unusedMemory?: number;
  readonly users?: CheckFacts['users'];
  readonly writeObstacles?: WriteObstacles;
  readonly undercounted?: CheckFacts['undercounted'];
  readonly readableFiles?: readonly string[];
}

function plan({
  vm,
  snapshots = [],
  tags = [],
  image,
  stored,
  backing,
  unusedMemory,
  users = NOBODY,
  writeObstacles = NO_OBSTACLES,
  undercounted = new Map(),
  readableFiles = [],
}: Given) {
  const vda = seen({ tags, ...image }, ...(backing ? [backing] : []));
  const images = new Map([['vda', vda]]);
  const about = domain(vm);
  const facts: CheckFacts = {
    domain: about,
    snapshots: reportSnapshots(snapshots, { current: null, busy: about.busy, images }),
    unread: [],
    current: null,
    images,
    stored: new Map(snapshots.map(({ name }) => [name, new Map([['vda', stored ?? vda]])])),
    unusedFiles: [],
    users,
    unusedMemory: new Map(
      unusedMemory === undefined ? [] : [['vda', { bytes: unusedMemory, endBytes: 2 ** 30 }]],
    ),
    nowSeconds: TAKEN_AT + 9999,
    limitsLeftOut: null,
    policies: [],
    limits: NO_LIMITS,
    freed: null,
    daemonVersion: 12_008_000,
    readableFiles,
    writeObstacles,
    undercounted,
  };
  return planFixes(facts);
}

describe('what no step answers', () => {
  const finding = (rule: string, changes: object = {}) =>
    ({ rule, severity: 'warning', unsupported: false, what: '', ...changes }) as const;
  const steps = plan({ tags: [tag('complete')], snapshots: [] });

  test('is left, each thing for itself', () => {
    expect(steps.map(({ rule, snapshot }) => [rule, snapshot])).toEqual([['orphan-tag', 'complete']]);
    const found = [
      finding('orphan-tag', { tag: 'complete' }),
      finding('orphan-tag', { tag: 'other' }),
      finding('raw-disk'),
      finding('no-data', { snapshot: 'complete' }),
    ];
    expect(unanswered(found, steps)).toEqual(found.slice(1));
    expect(unanswered(found.slice(0, 1), steps)).toEqual([]);
    const twice = [...found.slice(0, 1), ...found.slice(0, 1)];
    expect(unanswered(twice, steps)).toHaveLength(1);
  });
});

const actions = (given: Given) => plan(given).map(({ action }) => action);
const at = (name: string, seconds: number, changes: Partial<Tag> = {}) =>
  tag(name, { id: `${seconds + 100}`, createdAtSeconds: TAKEN_AT + seconds, ...changes });
const known = (name: string, seconds: number, changes: Partial<Snapshot> = {}) =>
  snapshot(name, { createdAtSeconds: TAKEN_AT + seconds, ...changes });

const RUNNING = { state: 'running', stateReason: 'booted' } as const;

test('a VM that is well has no step, and one that a job holds neither', () => {
  expect(plan({ snapshots: [known('a', 0)], tags: [at('a', 0)] })).toEqual([]);
  expect(plan({ vm: { state: 'paused', stateReason: 'saving', busy: true }, tags: [at('x', 0)] })).toEqual(
    [],
  );
});

test('libvirt is made to forget what no disk holds, but not one that is on hold', () => {
  const gone = known('gone', 0, { description: null });
  expect(actions({ snapshots: [gone] })).toEqual([{ kind: 'forget', name: 'gone' }]);
  expect(actions({ snapshots: [{ ...gone, description: withHold('important') }] })).toEqual([]);
});

describe('adopting', () => {
  const registerTags = (name: string, seconds: number, parent: string | null, hasMemory = false) => ({
    kind: 'adopt',
    name,
    createdAtSeconds: TAKEN_AT + seconds,
    hasMemory,
    parent,
  });

  test('parents first, each under the one before it by date, known or not', () => {
    const tags = [at('c', 30, { vmStateBytes: 5 }), at('a', 10), at('b', 20), at('d', 40)];
    expect(actions({ snapshots: [known('b', 20)], tags })).toEqual([
      registerTags('a', 10, null),
      registerTags('c', 30, 'b', true),
      registerTags('d', 40, 'c'),
    ]);
  });

  test('says what is assumed', () => {
    const [first, second] = plan({ tags: [at('a', 1), at('b', 2, { vmStateBytes: 1 })] });
    expect(first?.assumed).toBe('the VM was defined as it is today; it has no parent');
    expect(second?.assumed).toBe(
      'the VM was defined as it is today and was running; its parent is a, the one before it',
    );
  });

  test('under none that is to be forgotten', () => {
    expect(actions({ snapshots: [known('gone', 0)], tags: [at('x', 5)] })).toEqual([
      { kind: 'forget', name: 'gone' },
      registerTags('x', 5, null),
    ]);
  });

  test('also while it runs, for no image is touched', () => {
    expect(actions({ vm: RUNNING, tags: [at('x', 5)] })).toEqual([registerTags('x', 5, null)]);
  });
});

describe('forgetting', () => {
  test('what no disk holds', () => {
    expect(actions({ snapshots: [known('a', 0)] })).toEqual([{ kind: 'forget', name: 'a' }]);
  });

  test.each<[string, Given]>([
    [
      'an image that cannot be looked at',
      { stored: { kind: 'unseen', why: 'permission', format: null, source: 'storage pool' } },
    ],
    ['an image that is missing', { stored: { kind: 'broken', why: 'missing', path: '/vm/old', detail: '' } }],
    [
      'the image that it is in, which the VM does not use now',
      { stored: seen({ path: '/vm/old', tags: [at('a', 0)] }) },
    ],
  ])('but not with %s', (_, given) => {
    expect(plan({ snapshots: [known('a', 0)], ...given })).toEqual([]);
  });

  test('and nothing that is external', () => {
    const disks = [{ target: 'vda', location: 'external', source: '/vm/overlay' }];
    expect(plan({ snapshots: [known('a', 0, { disks })] })).toEqual([]);
  });
});

describe('twins', () => {
  const snapshots = [known('a', 10)];

  test('the older ones go, which were there before it was begun', () => {
    expect(actions({ snapshots, tags: [at('a', 1), at('a', 9), at('a', 12)] })).toEqual([
      { kind: 'delete-tag', name: 'a', path: '/vm/vda.qcow2', times: 2 },
    ]);
  });

  test.each<[string, Given]>([
    ['the right one may be the older', { tags: [at('a', 10), at('a', 20)] }],
    ['the right one stands first, and qemu-img deletes that', { tags: [at('a', 12), at('a', 1)] }],
    ['two can be its own', { tags: [at('a', 1), at('a', 12), at('a', 14)] }],
    ['none can be its own', { tags: [at('a', 1), at('a', 2)] }],
    ['it runs', { tags: [at('a', 1), at('a', 12)], vm: RUNNING }],
    [
      'they are in an image that the VM does not use now',
      { tags: [at('a', 12)], stored: seen({ path: '/vm/old', tags: [at('a', 1), at('a', 12)] }) },
    ],
  ])('none goes where %s', (_, given) => {
    expect(plan({ snapshots, ...given })).toEqual([]);
  });
});

describe('leftover space', () => {
  test('the disk is grown over it and cut off again', () => {
    expect(actions({ unusedMemory: 40 * MiB })).toEqual([
      { kind: 'win-back', path: '/vm/vda.qcow2', virtualBytes: 64 * MiB, growBytes: 2 ** 30 - 64 * MiB },
    ]);
  });

  test.each<[string, Given]>([
    ['there is next to none', { unusedMemory: MiB - 1 }],
    ['it runs', { unusedMemory: 40 * MiB, vm: RUNNING }],
    ['the image is encrypted', { unusedMemory: 40 * MiB, image: { encrypted: true } }],
    ['the image below is longer', { unusedMemory: 40 * MiB, backing: { virtualBytes: 65 * MiB } }],
  ])('is left alone where %s', (_, given) => {
    expect(plan(given)).toEqual([]);
  });
});

test('resuming comes first, and is all that can be done within a VM that was left paused', () => {
  const vm = { state: 'paused', stateReason: 'saving' };
  expect(actions({ vm, tags: [at('x', 1)], unusedMemory: 40 * MiB })).toMatchObject([
    { kind: 'resume' },
    { kind: 'adopt' },
  ]);
  expect(plan({ vm: { state: 'paused', stateReason: 'user' } })).toEqual([]);
});

test('a step is the same in two plans by what it does', () => {
  const tags = [at('x', 1)];
  const [one, same, other] = [plan({ tags }), plan({ tags }), plan({ tags: [at('y', 1)] })].map(
    ([fix]) => fix,
  );
  if (!one || !same || !other) throw new Error('no step');
  expect([fixKey(same) === fixKey(one), fixKey(other) === fixKey(one)]).toEqual([true, false]);
});

describe('an image that another VM uses, or may use', () => {
  const users = usedBy('/vm/vda.qcow2', {});
  const unread = { ...NOBODY, unknown: ['web-9'] };

  test('is not resized', () => {
    const given = { unusedMemory: 50 * MiB };
    expect(actions(given)).toMatchObject([{ kind: 'win-back' }]);
    expect([users, unread].map((users) => actions({ ...given, users }))).toEqual([[], []]);
  });

  test('keeps the older of two tags of one name', () => {
    const given = {
      snapshots: [known('s1', 100)],
      tags: [at('s1', 0), at('s1', 100)],
    };
    expect(actions(given)).toMatchObject([{ kind: 'delete-tag' }]);
    expect([users, unread].map((users) => actions({ ...given, users }))).toEqual([[], []]);
  });
});

describe('an image that cannot be written to', () => {
  const stopped = (kind: ObstacleKind) => ({
    writeObstacles: new Map([['/vm/vda.qcow2', { kind, place: '/vm', stopsOpenFiles: false }]]),
  });
  const twice = { snapshots: [known('s1', 100)], tags: [at('s1', 0), at('s1', 100)] };

  test('nor is anything deleted or resized in one that counts its clusters too low', () => {
    const undercounted = new Map([['/vm/vda.qcow2', 1]]);
    expect(actions({ ...twice, undercounted })).toEqual([]);
    expect(actions({ unusedMemory: 50 * MiB, undercounted })).toEqual([]);
  });

  test('keeps what is in it', () => {
    expect(actions({ ...twice, ...stopped('read-only-mount') })).toEqual([]);
    expect(actions({ unusedMemory: 50 * MiB, ...stopped('immutable') })).toEqual([]);
  });

  test('nor is a tag deleted where the list of the others finds no room; memory is given back', () => {
    expect(actions({ ...twice, ...stopped('full-device') })).toEqual([]);
    expect(actions({ unusedMemory: 50 * MiB, ...stopped('full-device') })).toMatchObject([
      { kind: 'win-back' },
    ]);
  });

  test('what only libvirt keeps is changed all the same', () => {
    const given = { tags: [at('x', 1)], ...stopped('read-only-mount') };
    expect(actions(given)).toMatchObject([{ kind: 'adopt' }]);
  });
});

test('a file that others may read is closed, unless another VM uses it', () => {
  const readableFiles = ['/vm/vda.e1'];
  expect(actions({ readableFiles })).toEqual([{ kind: 'chmod', path: '/vm/vda.e1' }]);
  expect(actions({ readableFiles, users: usedBy('/vm/vda.e1', {}) })).toEqual([]);
});
