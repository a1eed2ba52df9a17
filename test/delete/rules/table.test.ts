import { describe, expect, test } from 'vitest';
import { type DeleteScope, deletionOf, findDeletionSet } from '../../../src/delete/deletion-set.ts';
import { deletesExternal } from '../../../src/delete/rules/external.ts';
import type { DeleteFacts } from '../../../src/delete/rules/facts.ts';
import { DELETE_RULES } from '../../../src/delete/rules/table.ts';
import type { Domain } from '../../../src/model/domain.ts';
import type { DiskImage } from '../../../src/model/image.ts';
import { withHold } from '../../../src/model/marks/hold.ts';
import { reportSnapshots } from '../../../src/model/report.ts';
import { applyRules } from '../../../src/model/rule.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import type { ObstacleKind } from '../../../src/model/write-obstacles.ts';
import { disk, domain, seen, snapshot, tag, use, usedBy } from '../../model.ts';

const path = (ending: string) => `/vm/vda.${ending}`;

/** External: laid over the file of `on`, in an overlay of its own name. */
const external = (name: string, parent: string | null, on: string, second = 0): Snapshot =>
  snapshot(name, {
    parent,
    createdAtSeconds: second,
    disks: [{ target: 'vda', location: 'external', source: path(name) }],
    definedDisks: [{ target: 'vda', source: path(on), driver: 'qcow2' }],
  });

/** Internal: a tag in that file. */
const internal = (name: string, parent: string | null, on: string, second = 0): Snapshot =>
  snapshot(name, {
    parent,
    createdAtSeconds: second,
    disks: [{ target: 'vda', location: 'internal', source: path(on) }],
    definedDisks: [{ target: 'vda', source: path(on), driver: 'qcow2' }],
  });

/** A chain of files, the active one first, each with the tags given for it. */
const chain = (endings: readonly string[], tags: Readonly<Record<string, readonly string[]>> = {}) => {
  const links = endings.map((ending) => ({
    path: path(ending),
    tags: (tags[ending] ?? []).map((name) => tag(name)),
  }));
  return seen(links[0] ?? {}, ...links.slice(1));
};

interface Scene {
  readonly snapshots: readonly Snapshot[];
  readonly current: string | null;
  readonly image: DiskImage;
  readonly vm?: Partial<Domain>;
  /** null: libvirtd does not tell. */
  readonly version?: number | null;
  readonly merges?: DeleteFacts['merges'];
  /** By ending, the other VMs with an overlay on a file. */
  readonly shared?: Readonly<Record<string, readonly string[]>>;
}

const V9 = 9_000_000;
const V11 = 11_003_000;
const V12 = 12_008_000;

function facts(scene: Scene, name: string, scope: DeleteScope = 'only'): DeleteFacts {
  const images = new Map([['vda', scene.image]]);
  const active = scene.image.kind === 'seen' ? scene.image.chain[0].path : path('qcow2');
  const snapshots = reportSnapshots(scene.snapshots, { current: scene.current, busy: false, images });
  const found = snapshots.find((each) => each.name === name);
  if (!found) throw new Error(`no snapshot ${name}`);
  return {
    domain: domain({ disks: [disk({ source: active })], ...scene.vm }),
    snapshot: found,
    scope,
    snapshots,
    current: scene.current,
    images,
    daemonVersion: scene.version === undefined ? V12 : scene.version,
    merges: scene.merges ?? [],
    stored: new Map(),
    users: {
      uses: new Map(
        Object.entries(scene.shared ?? {}).map(([ending, names]) => [
          path(ending),
          names.map((name) => use({ kind: 'below', vm: { name, uuid: name, state: 'shutoff' } })),
        ]),
      ),
      unknown: [],
    },
  };
}

const found = (scene: Scene, name: string, scope: DeleteScope = 'only') =>
  applyRules(DELETE_RULES, facts(scene, name, scope));

const rules = (scene: Scene, name: string, scope: DeleteScope = 'only') =>
  found(scene, name, scope).map(({ rule }) => rule);

/** e1, e2, e3 one over the other, on the last. */
const LINE: Scene = {
  snapshots: [external('e1', null, 'qcow2', 1), external('e2', 'e1', 'e1', 2), external('e3', 'e2', 'e2', 3)],
  current: 'e3',
  image: chain(['e3', 'e2', 'e1', 'qcow2']),
};

describe('a line of external snapshots', () => {
  test.each([
    ['12.8', V12, { e1: [], e2: [], e3: [] }],
    ['11.3', V11, { e1: [], e2: [], e3: [] }],
    ['9.0', V9, { e1: ['unknown-chain'], e2: ['unknown-chain'], e3: [] }],
    [
      '7.0',
      7_000_000,
      { e1: ['external-on-old-daemon'], e2: ['external-on-old-daemon'], e3: ['external-on-old-daemon'] },
    ],
  ])('libvirt %s', (_, version, expected) => {
    for (const [name, finds] of Object.entries(expected))
      expect([name, rules({ ...LINE, version }, name)]).toEqual([name, finds]);
  });

  test('a libvirtd that does not tell its version is taken for one that cannot, and not called so', () => {
    const [finding, ...others] = found({ ...LINE, version: null }, 'e3');
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      rule: 'external-on-old-daemon',
      severity: 'error',
      what: 'e3 is external, and libvirtd does not tell its version, and libvirt before 9.0 cannot delete external snapshots',
    });
    expect(rules({ ...LINE, version: null }, 'e2', 'children')).toEqual([
      'external-on-old-daemon',
      'external-on-old-daemon',
    ]);
  });

  test('9.0 knows the chain of a VM that runs, or whose XML names it', () => {
    expect(rules({ ...LINE, version: V9, vm: { state: 'running' } }, 'e2')).toEqual([]);
    const named = disk({ source: path('e3'), backing: [path('e2'), path('e1')] });
    expect(rules({ ...LINE, version: V9, vm: { disks: [named] } }, 'e2')).toEqual([]);
    const elsewhere = { ...LINE, version: V9, vm: { state: 'running' }, image: chain(['qcow2']) };
    expect(found(elsewhere, 'e2')[0]).toMatchObject({
      rule: 'unknown-chain',
      command: 'kvmsnap delete --metadata centos7-1 e2',
    });
  });

  test('9.0: no advice to start the VM for a deletion that would change the data of another VM', () => {
    expect(found({ ...LINE, version: V9 }, 'e2')[0]).toMatchObject({
      hint: expect.stringContaining('start the VM'),
    });
    const [finding, ...others] = found({ ...LINE, version: V9, shared: { e1: ['web-2'] } }, 'e2');
    expect([finding?.rule, finding?.hint, others.map(({ rule }) => rule)]).toEqual([
      'unknown-chain',
      undefined,
      ['image-users'],
    ]);
  });

  test('with --children only one by one, the newest first', () => {
    const [finding] = found(LINE, 'e2', 'children');
    expect(finding).toMatchObject({
      rule: 'external-below',
      command: 'kvmsnap delete centos7-1 e3 e2',
    });
    expect(rules(LINE, 'e3', 'children-only')).toEqual([]);
    expect(rules(LINE, 'e3', 'children')).toEqual(['external-below']);
    const mixed = { ...LINE, snapshots: [...LINE.snapshots, internal('i4', 'e3', 'e3', 4)] };
    expect(rules(mixed, 'e3', 'children-only')).toEqual([]);
  });

  test('beside a managed save or a block job', () => {
    expect(rules({ ...LINE, vm: { managedSave: true } }, 'e2')).toEqual(['managed-save']);
    const copied = disk({ source: path('e3'), mirrored: true });
    expect(rules({ ...LINE, vm: { disks: [copied] } }, 'e2')).toEqual(['block-job']);
  });

  test('over a file that is missing', () => {
    const image = { kind: 'broken', why: 'backing-missing', path: path('e1'), detail: '' } as const;
    expect(found({ ...LINE, image }, 'e2')[0]).toMatchObject({
      rule: 'missing-image',
      what: expect.stringContaining('/vm/vda.e1 is missing'),
      command: 'kvmsnap delete --metadata centos7-1 e2',
    });
  });
});

describe('branches: e1 with e2 and e3 one over the other, and the VM back at e2', () => {
  const BACK: Scene = { ...LINE, current: 'e2', image: chain(['1', 'e1', 'qcow2']) };
  test.each<[string, number, readonly string[]]>([
    ['e1', V12, []],
    ['e1', V11, ['daemon-crash']],
    ['e2', V12, ['current-with-children']],
    ['e3', V12, []],
  ])('%s on %i', (name, version, finds) => {
    expect(rules({ ...BACK, version }, name)).toEqual(finds);
  });

  test('two children', () => {
    const scene = {
      ...BACK,
      snapshots: [...BACK.snapshots, external('e4', 'e2', '1', 4)],
      current: 'e4',
      image: chain(['e4', '1', 'e1', 'qcow2']),
    };
    expect(found(scene, 'e2')[0]).toMatchObject({
      rule: 'several-children',
      what: expect.stringContaining('(e3, e4)'),
    });
  });

  test('one with children in another branch', () => {
    const scene = {
      snapshots: [
        internal('i0', null, 'qcow2', 0),
        external('e1', 'i0', 'qcow2', 1),
        external('e2', 'e1', 'e1', 2),
      ],
      current: 'i0',
      image: chain(['qcow2'], { qcow2: ['i0'] }),
    };
    expect(found(scene, 'e1')[0]).toMatchObject({
      rule: 'outside-the-chain',
      command: 'kvmsnap delete centos7-1 e2',
    });
    expect(rules(scene, 'e2')).toEqual([]);
  });
});

describe('what would go with it', () => {
  test('internal snapshots in the overlay that is merged', () => {
    const scene = {
      snapshots: [external('e1', null, 'qcow2', 1), internal('i2', 'e1', 'e1', 2)],
      current: 'i2',
      image: chain(['e1', 'qcow2'], { e1: ['i2', 'orphan'], qcow2: ['older'] }),
    };
    expect(found(scene, 'e1')[0]).toMatchObject({
      rule: 'tags-in-overlay',
      what: expect.stringContaining('i2, orphan'),
      command: 'kvmsnap delete centos7-1 i2 orphan',
    });
    expect(rules(scene, 'i2')).toEqual([]);
  });

  test('the file that the VM lies on, where the current snapshot is set wrongly', () => {
    const scene = { ...LINE, current: 'e2' };
    expect(found(scene, 'e3')[0]).toMatchObject({
      rule: 'file-in-use',
      what: 'libvirt would remove /vm/vda.e2 with e3, but disk vda of the VM needs it',
    });
    // 9.0 merges it as any other
    expect(rules({ ...scene, version: V9 }, 'e3')).toEqual([]);
  });

  test('the file that another snapshot keeps its state in', () => {
    const siblings = [
      external('e1', null, 'qcow2', 1),
      external('e3', 'e1', 'e1', 3),
      external('e4', 'e1', 'e1', 4),
    ];
    const scene = { snapshots: siblings, current: 'e1', image: chain(['1', 'qcow2']) };
    expect(found(scene, 'e3')[0]).toMatchObject({
      rule: 'file-in-use',
      what: expect.stringContaining('snapshot e4 needs it'),
    });
  });

  test('a base that no external snapshot has made: only before 11.3', () => {
    const scene = {
      snapshots: [internal('i1', null, 'qcow2', 1), external('e2', 'i1', 'qcow2', 2)],
      current: 'i1',
      image: chain(['qcow2'], { qcow2: ['i1'] }),
    };
    expect(rules({ ...scene, version: V11 }, 'e2')).toEqual([]);
    expect(rules({ ...scene, version: 10_010_000 }, 'e2')).toEqual(['file-in-use']);
  });
});

describe('an internal snapshot in an image that another VM uses', () => {
  const scene: Scene = {
    snapshots: [internal('s1', null, 'qcow2', 1)],
    current: 's1',
    image: chain(['qcow2'], { qcow2: ['s1'] }),
  };
  const withUse = (changes: Parameters<typeof usedBy>[1] & object) =>
    applyRules(DELETE_RULES, { ...facts(scene, 's1'), users: usedBy(path('qcow2'), changes) });

  test('goes, where that VM is off and it is none of its own', () => {
    expect(withUse({ kind: 'disk' })).toEqual([]);
    expect(withUse({ kind: 'below' })).toEqual([]);
    expect(withUse({ kind: 'tags', snapshots: ['s2'] })).toEqual([]);
  });

  test('stays, where that VM would lose it too, or has the image open', () => {
    expect(withUse({ kind: 'tags', snapshots: ['s1'] })).toMatchObject([
      { rule: 'shared-tag', severity: 'error', command: 'kvmsnap delete --metadata centos7-1 s1' },
    ]);
    expect(withUse({ kind: 'below', open: true })).toMatchObject([
      { rule: 'image-in-use', severity: 'error', command: 'virsh shutdown web-2' },
    ]);
  });
});

describe('other VMs', () => {
  const others = ['web-2', 'web-3'];

  test('a merge writes into what they lie on, or removes it', () => {
    expect(found({ ...LINE, shared: { qcow2: ['web-2'] } }, 'e1')).toMatchObject([
      {
        rule: 'image-users',
        severity: 'error',
        what: 'to delete e1, libvirt would write into /vm/vda.qcow2, and VM web-2 (shut off) has an overlay on top of it (disk vda)',
        command: 'kvmsnap delete --metadata centos7-1 e1',
      },
    ]);
    expect(found({ ...LINE, shared: { e1: others } }, 'e1')).toMatchObject([
      { what: expect.stringMatching(/remove \/vm\/vda\.e1,.*VM web-2 .*; VM web-3 .*overlay on top of it/) },
    ]);
    expect(rules({ ...LINE, shared: { qcow2: others } }, 'e2')).toEqual([]);
    expect(rules({ ...LINE, shared: { e3: others } }, 'e2')).toEqual([]);
  });

  test('so it does in a chain that could not be read', () => {
    const image = { kind: 'unseen', why: 'permission', format: 'qcow2', source: "VM's XML" } as const;
    expect(rules({ ...LINE, image, shared: { e1: others } }, 'e2')).toEqual(['image-users']);
  });

  test('where nothing is merged, a file is removed', () => {
    const spare = { ...LINE, current: 'e2', image: chain(['2', 'e1', 'qcow2']) };
    expect(found({ ...spare, shared: { e2: ['web-2'] } }, 'e3')).toMatchObject([
      { what: expect.stringMatching(/to delete e3, libvirt would remove \/vm\/vda\.e2, and VM web-2/) },
    ]);
    expect(rules({ ...spare, shared: { qcow2: others, e1: others, e3: others } }, 'e3')).toEqual([]);
  });
});

describe('internal and external ones mixed', () => {
  const MIXED: Scene = {
    snapshots: [internal('i1', null, 'qcow2', 1), external('e2', 'i1', 'qcow2', 2)],
    current: 'e2',
    image: chain(['e2', 'qcow2'], { qcow2: ['i1'] }),
  };

  test('libvirt does not merge into an image below an internal one', () => {
    expect(found(MIXED, 'e2')[0]).toMatchObject({
      rule: 'internal-parent',
      command: 'kvmsnap delete centos7-1 i1',
    });
  });

  test('all internal ones down to the next external one have to go, the nearest first; held ones are named', () => {
    const deep: Scene = {
      snapshots: [
        internal('i0', null, 'qcow2', 1),
        external('e1', 'i0', 'qcow2', 2),
        { ...internal('i2', 'e1', 'e1', 3), description: withHold(null) },
        internal('i3', 'i2', 'e1', 4),
        external('e4', 'i3', 'e1', 5),
      ],
      current: 'e4',
      image: chain(['e4', 'e1', 'qcow2'], { e1: ['i2', 'i3'], qcow2: ['i0'] }),
    };
    const [finding] = found(deep, 'e4').filter(({ rule }) => rule === 'internal-parent');
    expect(finding?.commands).toEqual([
      'kvmsnap unhold centos7-1 i2',
      'kvmsnap delete centos7-1 i3',
      'kvmsnap delete centos7-1 i2',
    ]);
    expect(finding?.what).toContain('internal snapshots i3, i2');
    expect(finding?.hint).toContain('i2 is on hold');
  });

  test('with all below, the internal ones come before those that lie on them', () => {
    expect(found(MIXED, 'i1', 'children')).toMatchObject([
      { rule: 'external-below', command: 'kvmsnap delete centos7-1 i1 e2' },
    ]);
  });

  test('an internal one in an image that is not in use goes only while the VM is off', () => {
    expect(rules(MIXED, 'i1')).toEqual([]);
    expect(
      rules({ ...MIXED, vm: { state: 'running', disks: [disk({ source: path('e2') })] } }, 'i1'),
    ).toEqual(['other-image-in-use']);
  });
});

test('internal ones need no version, and what is deleted with them is judged with them', () => {
  const scene = {
    snapshots: [internal('i1', null, 'qcow2', 1), internal('i2', 'i1', 'qcow2', 2)],
    current: 'i2',
    image: chain(['qcow2'], { qcow2: ['i1', 'i2', 'i2'] }),
    version: 0,
  };
  expect(deletesExternal(facts(scene, 'i1', 'children'))).toBe(false);
  expect(deletesExternal(facts(LINE, 'e1'))).toBe(true);
  expect(rules(scene, 'i1')).toEqual([]);
  expect(rules(scene, 'i1', 'children')).toEqual(['duplicate-tag']);
  const { snapshots, snapshot: first } = facts(scene, 'i1');
  expect(findDeletionSet(snapshots, first, 'children-only').map(({ name }) => name)).toEqual(['i2']);
});

test('an encrypted image lets go of a snapshot only while the VM runs', () => {
  const scene = {
    snapshots: [internal('i1', null, 'qcow2')],
    current: 'i1',
    image: seen({ path: path('qcow2'), encrypted: true, tags: [tag('i1')] }),
  };
  expect(found(scene, 'i1')).toMatchObject([{ rule: 'encrypted-image', command: 'virsh start centos7-1' }]);
  expect(rules({ ...scene, vm: { state: 'running' } }, 'i1')).toEqual([]);
});

test('a merge that does not fit is refused, one that just fits is not', () => {
  const merge = { target: 'vda', base: path('e2'), growthBytes: 6 * 2 ** 20, freeBytes: 5 * 2 ** 20 };
  expect(found({ ...LINE, merges: [merge] }, 'e3')).toMatchObject([
    { rule: 'space-for-merge', what: expect.stringMatching(/e2 grows by 6 MiB, .* has only 5 MiB free/) },
  ]);
  expect(rules({ ...LINE, merges: [{ ...merge, freeBytes: merge.growthBytes }] }, 'e3')).toEqual([]);
});

test('how libvirt deletes', () => {
  expect(['e1', 'e3'].map((name) => deletionOf(facts(LINE, name)))).toEqual(['merge', 'merge']);
  expect(deletionOf(facts({ ...LINE, current: 'e2' }, 'e3'))).toBe('unlink');
  expect(deletionOf(facts({ ...LINE, current: 'e2', version: V9 }, 'e3'))).toBe('merge');
});

describe('a deletion that was interrupted', () => {
  const marked = (name: string, on: string): Snapshot => ({
    ...external(name, null, on, 1),
    disks: [{ target: 'vda', location: 'external', source: path(name), isMergeTarget: true }],
  });
  const scene: Scene = {
    snapshots: [marked('e1', 'qcow2'), external('e2', 'e1', 'e1', 2), external('e3', 'e2', 'e2', 3)],
    current: 'e3',
    image: chain(['e3', 'e2', 'e1', 'qcow2']),
  };

  test('is finished before that into whose overlay it merges is deleted', () => {
    expect(rules(scene, 'e2')).toEqual([]);
    expect(found(scene, 'e1')).toMatchObject([
      { rule: 'merge-target', command: 'kvmsnap delete centos7-1 e2 e1' },
    ]);
    expect(rules({ ...scene, vm: { busy: true } }, 'e1')).toEqual([]);
  });

  test('of which libvirt no longer knows the snapshot', () => {
    const [first] = scene.snapshots;
    const alone = { ...scene, snapshots: first ? [first] : [], current: 'e1', image: chain(['e1', 'qcow2']) };
    expect(found(alone, 'e1')).toMatchObject([{ command: 'kvmsnap delete --metadata centos7-1 e1' }]);
  });
});

test('with more overlays than libvirt starts, none is deleted while the VM is off', () => {
  const names = Array.from({ length: 25 }, (_, i) => `x${i}`);
  const scene: Scene = {
    snapshots: [external('x0', null, 'qcow2', 1)],
    current: 'x0',
    image: chain([...names, 'qcow2']),
    version: V11,
  };
  expect(rules(scene, 'x0')).toContain('chain-too-deep');
  expect(rules({ ...scene, version: V12 }, 'x0')).not.toContain('chain-too-deep');
  expect(rules({ ...scene, vm: { state: 'running' } }, 'x0')).not.toContain('chain-too-deep');
});

describe('images that cannot be written to', () => {
  const TAGS: Scene = {
    snapshots: [internal('s1', null, 'qcow2', 1), internal('s2', 's1', 'qcow2', 2)],
    current: 's2',
    image: chain(['qcow2'], { qcow2: ['s1', 's2'] }),
  };
  const stopping = (scene: Scene, name: string, ...[kind, ending, stopsOpenFiles = false]: Stop) =>
    applyRules(DELETE_RULES, {
      ...facts(scene, name),
      writeObstacles: new Map([[path(ending), { kind, place: path(ending), stopsOpenFiles }]]),
    }).map(({ rule, severity }) => [rule, severity]);
  type Stop = [kind: ObstacleKind, ending: string, stopsOpenFiles?: boolean];
  const running: Partial<Domain> = { state: 'running' };

  test.each<[string, Scene, string, Stop, string | null]>([
    ['a tag in it, off', TAGS, 's1', ['read-only-mount', 'qcow2'], 'unwritable-image'],
    ['QEMU has it open', { ...TAGS, vm: running }, 's1', ['read-only-mount', 'qcow2'], null],
    ['nor can QEMU', { ...TAGS, vm: running }, 's1', ['immutable', 'qcow2', true], 'unwritable-image'],
    ['no room for the list', TAGS, 's1', ['full-device', 'qcow2'], 'no-room-in-image'],
    ['the base of a merge', { ...LINE, vm: running }, 'e1', ['immutable', 'qcow2'], 'unwritable-base'],
    ['a merge takes no tag', LINE, 'e1', ['full-file-system', 'qcow2'], null],
    ['beneath what is merged into', { ...LINE, vm: running }, 'e2', ['immutable', 'qcow2'], null],
    ['the disk that QEMU opens for the merge, off', LINE, 'e1', ['immutable', 'e3'], 'unwritable-base'],
    ['which it has open', { ...LINE, vm: running }, 'e1', ['immutable', 'e3'], null],
    ['9.0 merges the newest', { ...LINE, version: V9 }, 'e3', ['immutable', 'e2'], 'unwritable-base'],
  ])('%s', (_, scene, name, stop, rule) => {
    expect(stopping(scene, name, ...stop)).toEqual(rule === null ? [] : [[rule, 'error']]);
  });
});

test('a tag in an image that counts its clusters too low', () => {
  const line = {
    snapshots: [internal('s1', null, 'qcow2')],
    current: 's1',
    image: chain(['qcow2'], { qcow2: ['s1'] }),
  };
  const found = (clusters: number) =>
    applyRules(DELETE_RULES, {
      ...facts(line, 's1'),
      undercounted: new Map([[path('qcow2'), clusters]]),
    }).map(({ rule }) => rule);
  expect([found(0), found(1)]).toEqual([[], ['refcounts-too-low']]);
});

test('a merge into a file on which another disk of the VM lies, or that removes it', () => {
  const known = facts(LINE, 'e1');
  const { uuid, name } = known.domain;
  const used = (ending: string, target: string) => ({
    ...known,
    ownUses: {
      uses: new Map([[path(ending), [use({ kind: 'below', target, vm: { name, uuid, state: 'shutoff' } })]]]),
      unknown: [],
    },
  });
  const foundBy = (changed: DeleteFacts) => applyRules(DELETE_RULES, changed);
  expect(foundBy(used('qcow2', 'vdb'))).toMatchObject([
    {
      rule: 'other-disk',
      what: 'disk vda: to delete e1, libvirt would write into /vm/vda.qcow2, which disk vdb of the VM needs too',
      command: 'kvmsnap delete --metadata centos7-1 e1',
    },
  ]);
  expect(foundBy(used('e1', 'vdb'))).toMatchObject([
    { what: expect.stringContaining('remove /vm/vda.e1, which') },
  ]);
  expect([foundBy(used('qcow2', 'vda')), foundBy(used('e3', 'vdb'))]).toEqual([[], []]);
});
