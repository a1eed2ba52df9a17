import { describe, expect, test } from 'vitest';
import { internalPlan, plannedFiles, planSnapshot, specProblem } from '../../src/create/plan.ts';
import {
  type DiskSpec,
  INTERNAL_SPEC,
  type PlannedDisk,
  type SnapshotPlan,
  type SnapshotSpec,
} from '../../src/model/input/snapshot-spec.ts';
import { disk, domain } from '../model.ts';

const wishing = (spec: Partial<SnapshotSpec>): SnapshotSpec => ({ ...INTERNAL_SPEC, ...spec });
const spec = (disk: string, changes: Partial<DiskSpec> = {}): DiskSpec => ({
  disk,
  location: null,
  file: null,
  driver: null,
  storage: null,
  ...changes,
});

/** Plans a snapshot `s1`, which must be possible. */
function plan(spec: Partial<SnapshotSpec>, changes: Parameters<typeof domain>[0] = {}): SnapshotPlan {
  const planned = planSnapshot(domain(changes), 's1', wishing(spec));
  if ('problem' in planned) throw new Error(planned.problem);
  return planned;
}

const overlays = ({ disks }: { disks: readonly PlannedDisk[] }) =>
  Object.fromEntries(disks.map(({ target, overlay }) => [target, overlay]));

const running = { state: 'running' };
const two = [
  disk({ source: '/vm/a.qcow2' }),
  disk({ target: 'vdb', source: '/vm/b.x.raw', driver: 'raw' }),
  disk({ target: 'hdc', device: 'cdrom', source: '/iso/x.iso', readonly: true }),
];

describe('the mode', () => {
  test.each([
    ['nothing said', {}, running, 'internal'],
    ['nothing said, off', {}, {}, 'internal'],
    ['--external', { external: true }, running, 'external'],
    ['--external, off', { external: true }, {}, 'disk-only'],
    ['--disk-only', { diskOnly: true }, running, 'disk-only'],
    ['--memspec', { memory: { location: null, file: '/vm/m' } }, running, 'external'],
    ['--diskspec file=', { disks: [spec('vda', { file: '/vm/o' })] }, running, 'external'],
    ['--diskspec snapshot=external', { disks: [spec('vda', { location: 'external' })] }, {}, 'disk-only'],
    ['--diskspec vda', { disks: [spec('vda')] }, running, 'internal'],
    ['--diskspec snapshot=internal', { disks: [spec('vda', { location: 'internal' })] }, {}, 'internal'],
    ['--halt', { halt: true }, running, 'internal'],
    ['memory inside', { memory: { location: 'internal', file: null } }, running, 'internal'],
    ['--diskspec snapshot=manual', { disks: [spec('vda', { location: 'manual' })] }, running, 'external'],
    [
      'no memory, and --disk-only',
      { diskOnly: true, memory: { location: 'no', file: null } },
      running,
      'disk-only',
    ],
  ] as const)('%s', (_, spec, vm, mode) => {
    expect(plan(spec, vm).mode).toBe(mode);
  });
});

describe('the files', () => {
  test('are beside each image, by its name and that of the snapshot', () => {
    const planned = plan({ external: true }, { ...running, disks: two });
    expect(overlays(planned)).toEqual({ vda: '/vm/a.s1', vdb: '/vm/b.x.s1' });
    expect(planned.memoryFile).toBe('/vm/centos7-1.s1.mem');
    expect(plannedFiles(planned)).toEqual(['/vm/a.s1', '/vm/b.x.s1', '/vm/centos7-1.s1.mem']);
  });

  test('without memory: --disk-only, and a VM that is off', () => {
    expect(plan({ diskOnly: true }, { ...running, disks: two }).memoryFile).toBeNull();
    expect(plan({ external: true }, { disks: two }).memoryFile).toBeNull();
  });

  const same = [
    disk({ source: '/vm/a.qcow2' }),
    disk({ target: 'vdb', source: '/vm/a.raw' }),
    disk({ target: 'vdc', source: '/vm/c.raw' }),
  ];
  test('of disks that differ by their ending alone have the target in between', () => {
    expect(overlays(plan({ external: true }, { disks: same }))).toEqual({
      vda: '/vm/a.vda.s1',
      vdb: '/vm/a.vdb.s1',
      vdc: '/vm/c.s1',
    });
  });

  test('make way for one that the user has named', () => {
    const disks = [spec('vdc', { file: '/vm/a.s1' })];
    expect(overlays(plan({ disks }, { disks: [same[0], same[2]].flatMap((d) => d ?? []) }))).toEqual({
      vda: '/vm/a.vda.s1',
      vdc: '/vm/a.s1',
    });
  });

  test('named by libvirt, they collide', () => {
    expect(overlays(plan({ external: true, namedBy: 'libvirt' }, { disks: same.slice(0, 2) }))).toEqual({
      vda: '/vm/a.s1',
      vdb: '/vm/a.s1',
    });
  });

  test.each([
    ['no ending', '/vm.d/image', '/vm.d/image.s1'],
    ['a dot at its start', '/vm/.hidden', '/vm/.s1'],
    ['an earlier overlay', '/vm/a.before', '/vm/a.s1'],
  ])('of an image with %s', (_, source, overlay) => {
    expect(overlays(plan({ external: true }, { disks: [disk({ source })] }))).toEqual({ vda: overlay });
  });

  test.each([
    ['a block device', { storage: 'block', source: '/dev/vg/web' }],
    ['a disk on the network', { storage: 'network', source: null }],
  ])('of %s are not known', (_, changes) => {
    const planned = plan({ external: true }, { ...running, disks: [disk(changes)] });
    expect([overlays(planned), planned.memoryFile]).toEqual([{ vda: null }, null]);
  });

  test('as the user says', () => {
    const planned = plan(
      {
        memory: { location: 'external', file: '/save/m' },
        disks: [spec('/vm/a.qcow2', { file: '/fast/o', driver: 'qcow2' }), spec('vdb', { location: 'no' })],
      },
      { ...running, disks: two },
    );
    expect(planned).toMatchObject({
      disks: [{ target: 'vda', source: '/vm/a.qcow2', overlay: '/fast/o', driver: 'qcow2' }],
      leftOut: ['vdb'],
      memoryFile: '/save/m',
    });
  });
});

test.each([
  ['no', undefined, 'leftOut'],
  ['no', { location: 'no' }, 'leftOut'],
  ['no', {}, 'leftOut'],
  ['no', { location: 'external' }, 'disks'],
  ['no', { file: '/o' }, 'disks'],
  ['no', { location: 'manual' }, 'manual'],
  ['manual', undefined, 'manual'],
  ['manual', {}, 'manual'],
  ['manual', { location: 'no' }, 'leftOut'],
  ['manual', { location: 'external' }, 'disks'],
  [null, { location: 'manual' }, 'manual'],
  [null, {}, 'disks'],
] as const)("a disk with snapshot='%s' in the XML and the option %o", (snapshot, diskSpec, where) => {
  const disks = [disk(), disk({ target: 'vdb', snapshot })];
  const planned = plan({ external: true, disks: diskSpec ? [spec('vdb', diskSpec)] : [] }, { disks });
  const found = {
    disks: planned.disks.map(({ target }) => target).filter((target) => target !== 'vda'),
    leftOut: planned.leftOut,
    manual: planned.manual,
  };
  expect(found).toEqual({ disks: [], leftOut: [], manual: [], [where]: ['vdb'] });
});

test('the memory alone: every disk is left out', () => {
  const memoryAlone = { memory: { location: null, file: '/m' }, disks: [spec('vda', { location: 'no' })] };
  expect(plan(memoryAlone, running)).toMatchObject({
    mode: 'external',
    disks: [],
    leftOut: ['vda'],
    memoryFile: '/m',
  });
});

test.each([
  ['with internal disks', {}],
  ['with external ones', { external: true }],
])('a running VM without its memory needs --disk-only: %s', (_, spec) => {
  const without = wishing({ memory: { location: 'no', file: null }, ...spec });
  expect(planSnapshot(domain(running), 's1', without)).toMatchObject({
    problem: expect.stringMatching(/only with --disk-only/),
  });
  expect(planSnapshot(domain(), 's1', without)).toHaveProperty('mode');
  expect(planSnapshot(domain(running), 's1', { ...without, diskOnly: true })).toHaveProperty('mode');
});

test('an internal one takes every writable disk, as it is', () => {
  expect(internalPlan({ disks: two })).toEqual(plan({}, { disks: two }));
  expect(overlays(plan({}, { disks: two }))).toEqual({ vda: null, vdb: null });
});

test.each([
  ['a disk that there is not', { disks: [spec('vdx')] }, /has no disk vdx/, /did you mean vda/],
  ['nothing like it', { disks: [spec('/elsewhere')] }, /has no disk/, /its disks are: vda, vdb, hdc/],
  ['one disk twice', { disks: [spec('vda'), spec('/vm/a.qcow2')] }, /disk vda twice/, undefined],
  ['a cdrom', { disks: [spec('hdc', { location: 'external' })] }, /hdc is read-only/, undefined],
] as const)('of %s there is no plan', (_, spec, problem, hint) => {
  const planned = planSnapshot(domain({ disks: two }), 's1', wishing({ external: true, ...spec }));
  expect(planned).toMatchObject({ problem: expect.stringMatching(problem) });
  if (hint) expect(planned).toMatchObject({ hint: expect.stringMatching(hint) });
});

const memory = { location: null, file: '/m' };

test.each([
  [
    'memory nowhere known',
    { memory: { location: 'extern', file: null } },
    /must be no, internal or external/,
  ],
  ['memory inside, in a file', { memory: { location: 'internal', file: '/m' } }, /needs snapshot=external/],
  [
    'memory inside, disks not',
    { external: true, memory: { location: 'internal', file: null } },
    /if all disks are internal/,
  ],
  ['memory and none', { memory, diskOnly: true }, /memory file cannot be combined with --disk-only/],
  ['live without memory', { live: true, diskOnly: true }, /the memory is left out/],
  ['live with no memory', { live: true, memory: { location: 'no', file: null } }, /the memory is left out/],
  ['live, internal', { live: true }, /--live needs the memory in a file/],
  ['quiet file systems with the memory', { quiesce: true, external: true }, /--quiesce needs --disk-only/],
  ['reuse, internal', { reuse: true }, /--reuse-external needs an external snapshot/],
  ['an unknown place', { disks: [spec('vda', { location: 'extern' })] }, /no, internal, external or manual/],
  ['a mixture', { external: true, disks: [spec('vda', { location: 'internal' })] }, /internal on one disk/],
  ['internal without a disk', { disks: [spec('vda', { location: 'no' })] }, /needs every writable disk/],
  ['a relative file', { disks: [spec('vda', { file: 'o' })] }, /absolute paths/],
  ['a relative memory file', { memory: { location: null, file: 'm' } }, /absolute paths/],
] as const)('a contradiction: %s', (_, spec, says) => {
  expect(specProblem(wishing(spec))).toMatchObject({ problem: expect.stringMatching(says) });
});

test.each([
  ['nothing', {}],
  ['all that goes with the memory', { memory, live: true, halt: true, atomic: true }],
  ['all that goes with the disks', { diskOnly: true, quiesce: true, reuse: true, noMetadata: true }],
  ['a disk left out', { external: true, disks: [spec('vda', { location: 'no' })] }],
] as const)('no contradiction: %s', (_, spec) => {
  expect(specProblem(wishing(spec))).toBeNull();
});
