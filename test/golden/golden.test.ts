import { expect, test } from 'vitest';
import { check } from '../../src/check/check.ts';
import { create } from '../../src/create/create.ts';
import { deleteSnapshots } from '../../src/delete/delete.ts';
import { setHold } from '../../src/describe/describe.ts';
import type { SnapshotReport } from '../../src/model/report.ts';
import { pruneVms } from '../../src/prune/prune.ts';
import { revert } from '../../src/revert/revert.ts';
import { info } from '../../src/show/info.ts';
import { list } from '../../src/show/list.ts';
import { type SpaceResult, showAll } from '../../src/space/all.ts';
import type { VmSpace } from '../../src/space/measure.ts';
import { showSpace } from '../../src/space/report.ts';
import type { Vm } from '../../src/vm/load.ts';
import { domain, image } from '../model.ts';
import { golden } from './golden.ts';
import { goldenHost } from './host.ts';
import { DAY, HOUR, imagePath, nightly, type VmSpec } from './vms.ts';

const LONG = 'customer-4711-production-database-primary.example.com';

const WEB: VmSpec = {
  name: 'web-1',
  running: true,
  current: 'before-upgrade',
  snapshots: [
    { name: 'installed', age: 100 * DAY, description: 'fresh from the installer' },
    {
      name: 'configured',
      parent: 'installed',
      age: 99 * DAY,
      kind: 'run',
      description:
        'nginx and certificates are set up, and the monitoring knows the host\n\nKvmsnap-Hold: yes',
    },
    { name: 'attempt-1', parent: 'configured', age: 3 * DAY, kind: 'run' },
    { name: 'before-upgrade', parent: 'configured', age: 3 * HOUR, kind: 'run', description: 'kernel 6.1' },
  ],
};

const FILES: VmSpec = {
  name: 'db-2',
  running: true,
  current: 'e-run',
  snapshots: [
    { name: 'e-disks', age: 2 * DAY, kind: 'disks', description: 'before the backup' },
    { name: 'e-run', parent: 'e-disks', age: DAY, kind: 'memory' },
  ],
};

const NIGHTLY: VmSpec = {
  name: 'web-1',
  running: true,
  snapshots: nightly(9),
  current: nightly(9)[8]?.name ?? '',
};
const EMPTY: VmSpec = { name: 'oldbox' };
const FLEET = [WEB, FILES, EMPTY, { name: LONG, running: true, snapshots: nightly(2) }];

const raw = (name: string) => (host: { readonly images: Map<string, string[] | null> }) =>
  void host.images.set(imagePath(name), null);

golden('list', [
  { line: 'kvmsnap list web-1', vms: [WEB], run: (ctx) => list(ctx, ['web-1'], {}) },
  {
    line: 'kvmsnap list db-2',
    says: 'external snapshots',
    vms: [FILES],
    run: (ctx) => list(ctx, ['db-2'], {}),
  },
  {
    line: 'kvmsnap list web-1',
    says: 'nightly ones',
    vms: [NIGHTLY],
    run: (ctx) => list(ctx, ['web-1'], {}),
  },
  {
    line: 'kvmsnap list web-1 --newest 2',
    vms: [NIGHTLY],
    run: (ctx) => list(ctx, ['web-1'], { newest: 2 }),
  },
  { line: 'kvmsnap list oldbox', says: 'none', vms: [EMPTY], run: (ctx) => list(ctx, ['oldbox'], {}) },
  { line: 'kvmsnap list', vms: FLEET, run: (ctx) => list(ctx, [], {}) },
  { line: 'kvmsnap list', says: 'no VMs', vms: [], run: (ctx) => list(ctx, [], {}) },
  { line: 'kvmsnap list --all', vms: FLEET, run: (ctx) => list(ctx, [], { all: true }) },
]);

golden('list-tree', [
  { line: 'kvmsnap list web-1 --tree', vms: [WEB], run: (ctx) => list(ctx, ['web-1'], { tree: true }) },
  {
    line: 'kvmsnap list web-1 --tree',
    says: 'nightly ones',
    vms: [NIGHTLY],
    run: (ctx) => list(ctx, ['web-1'], { tree: true }),
  },
  { line: 'kvmsnap list --tree', vms: FLEET, run: (ctx) => list(ctx, [], { tree: true }) },
]);

golden('info', [
  { line: 'kvmsnap info web-1', vms: [WEB], run: (ctx) => info(ctx, 'web-1', undefined) },
  { line: 'kvmsnap info web-1 configured', vms: [WEB], run: (ctx) => info(ctx, 'web-1', 'configured') },
  {
    line: 'kvmsnap info db-2 e-run',
    says: 'external',
    vms: [FILES],
    run: (ctx) => info(ctx, 'db-2', 'e-run'),
  },
]);

golden('create', [
  {
    line: "kvmsnap create-as web-1 before-upgrade-2 --description 'kernel 6.2'",
    vms: [WEB],
    run: (ctx) => create(ctx, ['web-1'], 'before-upgrade-2', { description: 'kernel 6.2' }),
  },
  {
    line: 'kvmsnap create --all --label nightly',
    says: 'one VM is raw, one fails',
    vms: [WEB, EMPTY, { name: 'db-2' }, { name: LONG }],
    prepare: (host) => {
      raw('oldbox')(host);
      host.refuses.set('snapshot-create-as db-2', 'internal error: unable to execute QEMU command');
    },
    run: (ctx) => create(ctx, [], null, { all: true, label: 'nightly' }),
  },
  {
    line: 'kvmsnap create web-1 --label nightly --keep-daily 3',
    vms: [NIGHTLY],
    run: (ctx) => create(ctx, ['web-1'], null, { label: 'nightly', keepDaily: 3 }),
  },
]);

golden('revert', [
  {
    line: 'kvmsnap revert web-1 configured --backup',
    vms: [WEB],
    run: (ctx) => revert(ctx, 'web-1', 'configured', { backup: true }),
  },
]);

const web = (names: readonly string[]) => ({ named: [{ vm: 'web-1', names }], paired: false });

golden('delete', [
  {
    line: 'kvmsnap delete web-1 attempt-1 nosuch configured',
    vms: [WEB],
    run: (ctx) => deleteSnapshots(ctx, web(['attempt-1', 'nosuch', 'configured']), {}),
  },
  {
    line: 'kvmsnap delete web-1 attempt-1',
    vms: [WEB],
    run: (ctx) => deleteSnapshots(ctx, web(['attempt-1']), {}),
  },
]);

golden('prune', [
  {
    line: 'kvmsnap prune web-1 --label nightly --keep-daily 3 --keep-weekly 2',
    vms: [NIGHTLY],
    run: (ctx) => pruneVms(ctx, ['web-1'], { label: 'nightly', keepDaily: 3, keepWeekly: 2 }),
  },
  {
    line: 'kvmsnap prune --all --label nightly --keep-daily 1 --dry-run',
    vms: [NIGHTLY, { name: LONG, snapshots: nightly(2) }],
    settings: { dryRun: true },
    run: (ctx) => pruneVms(ctx, [], { all: true, label: 'nightly', keepDaily: 1 }),
  },
  {
    line: 'kvmsnap prune web-1 --label nightyl --keep-daily 3',
    says: 'nothing has the label',
    vms: [NIGHTLY],
    run: (ctx) => pruneVms(ctx, ['web-1'], { label: 'nightyl', keepDaily: 3 }),
  },
]);

golden('check', [
  {
    line: 'kvmsnap check',
    says: 'all is well',
    vms: [{ name: 'web-1' }, { name: LONG }],
    run: (ctx) => check(ctx, [], {}),
  },
  {
    line: 'kvmsnap check',
    says: 'a raw disk, a snapshot that libvirt does not know, and one that a disk lacks',
    vms: [WEB, EMPTY, { name: LONG }],
    prepare: (host) => {
      raw('oldbox')(host);
      host.images.get(imagePath('web-1', 'vdb'))?.pop();
      host.images.get(imagePath(LONG))?.push('lost');
    },
    run: (ctx) => check(ctx, [], {}),
  },
]);

golden('check-fix', [
  {
    line: 'kvmsnap check --fix --yes',
    says: 'a snapshot that libvirt does not know, and one that no disk contains',
    vms: [WEB, { name: LONG }],
    settings: { yes: true },
    prepare: (host) => {
      for (const disk of ['vda', 'vdb']) {
        host.images.get(imagePath(LONG, disk))?.push('lost');
        const inside = host.images.get(imagePath('web-1', disk)) ?? [];
        host.images.set(
          imagePath('web-1', disk),
          inside.filter((name) => name !== 'attempt-1'),
        );
      }
    },
    run: (ctx) => check(ctx, [], { fix: true }),
  },
]);

/** Sizes as a real `space` measured them, of three nightly snapshots. */
const COSTS = [
  ['nightly-20271225T090640Z', 5_368_709_120, 9_663_676_416, 839_385_088, 2_147_483_648],
  ['nightly-20271226T090640Z', 268_435_456, 9_126_805_504, 839_385_088, 402_653_184],
  ['nightly-20271227T090640Z', 1_048_576, 8_991_539_200, 0, null],
] as const;

const spaceOf = (bytes: number) => ({ hostBytes: bytes, clusterBytes: bytes });

const measured = (approximate: boolean): VmSpace => ({
  approximate,
  snapshots: COSTS.map(([name, frees, holds, vmState, changedBytes], i) => ({
    snapshot: { name } as SnapshotReport,
    approximate,
    disks: [],
    cost:
      approximate && i === 2
        ? null
        : {
            frees: spaceOf(frees),
            freesTogether: spaceOf(frees),
            holds: spaceOf(holds),
            vmState: spaceOf(vmState),
            changedBytes,
          },
  })),
  disks: [
    {
      target: 'vda',
      image: image({ path: imagePath('web-1'), virtualBytes: 2 ** 35, allocatedBytes: 2 ** 34 }),
      problem: null,
      freeBytes: 80_530_636_800,
    },
  ],
  together: { names: COSTS.map(([name]) => name), frees: spaceOf(6_710_886_400) },
});

const vmOf = (name: string, running: boolean, snapshots: number): Vm =>
  ({
    domain: domain({ name, state: running ? 'running' : 'shutoff' }),
    snapshots: COSTS.slice(0, snapshots),
    unread: [],
  }) as unknown as Vm;

const resultOf = (
  name: string,
  bytes: number | null,
  snapshots: number,
  problem: string | null = null,
): SpaceResult => {
  const vm = vmOf(name, name === 'web-1', snapshots);
  const frees = bytes === null ? null : spaceOf(bytes);
  return {
    vm: { name, uuid: vm.domain.uuid },
    state: vm.domain.state,
    outcome: 'done',
    failures: [],
    succeeded: 1,
    value: { vm, space: { ...measured(false), together: { names: [], frees } }, problem },
  };
};

golden('space', [
  {
    line: 'kvmsnap space web-1',
    vms: [],
    run: (ctx) => showSpace(ctx, vmOf('web-1', false, 3), measured(false), [], {}),
  },
  {
    line: 'kvmsnap space web-1 --sort frees',
    says: 'a running VM',
    vms: [],
    run: (ctx) => showSpace(ctx, vmOf('web-1', true, 3), measured(true), [], { sort: 'frees' }),
  },
  {
    line: 'kvmsnap space',
    vms: [],
    run: (ctx) =>
      showAll(ctx, [
        resultOf('web-1', 268_435_456, 2),
        resultOf(LONG, 6_710_886_400, 3),
        resultOf('oldbox', 0, 0),
        resultOf('db-2', null, 1, 'vda: 2 snapshots follow it, and libvirt cannot delete it'),
      ]),
  },
]);

golden('hold', [
  {
    line: 'kvmsnap hold web-1 installed',
    vms: [WEB],
    run: (ctx) => setHold(ctx, 'web-1', 'installed', true),
  },
]);

test('200 nightly snapshots in a chain are a readable tree at 80 columns', async () => {
  const snapshots = nightly(200);
  const host = goldenHost([{ name: 'web-1', snapshots, current: snapshots[199]?.name ?? '' }]);
  await list(host.context({ columns: 80 }), ['web-1'], { tree: true });
  const lines = host.screen().trimEnd().split('\n');
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  expect(lines.slice(2, 202).map((line) => line.slice(3, 27))).toEqual(snapshots.map(({ name }) => name));
  expect(lines.at(-1)).toBe('200 snapshots, newest 1 day ago');
});
