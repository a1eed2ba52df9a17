// The golden files of what is done with several VMs at once, with a command of the user, and on several hosts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { check } from '../../src/check/check.ts';
import { create } from '../../src/create/create.ts';
import { deleteGroup } from '../../src/delete/delete-group.ts';
import { KvmsnapError } from '../../src/errors.ts';
import { loadHistory } from '../../src/history/load.ts';
import { saveHistory } from '../../src/history/save.ts';
import { conclude } from '../../src/hosts/conclude.ts';
import type { HostResult } from '../../src/hosts/merge-views.ts';
import type { View } from '../../src/output/view.ts';
import { revertGroup } from '../../src/revert/revert-group.ts';
import type { Context } from '../../src/run/context.ts';
import { tryOut } from '../../src/try/try.ts';
import { golden } from './golden.ts';
import { type GoldenHost, goldenHost } from './host.ts';
import { DAY, imagePath, snapshotXml, type VmSpec } from './vms.ts';

const LONG = 'customer-4711-production-database-primary.example.com';
const NAMES = ['app-1', 'db-1', LONG];
const MARK = `Kvmsnap-Together: ${JSON.stringify(NAMES)}`;

const GROUP: readonly VmSpec[] = NAMES.map((name) => ({
  name,
  running: true,
  current: 'before-release',
  snapshots: [
    { name: 'before-release', age: DAY, kind: 'run', description: `release 4.2\n\n${MARK}` },
    { name: 'later', parent: 'before-release', age: DAY / 2, kind: 'run' },
  ],
}));
const BARE: readonly VmSpec[] = NAMES.map((name) => ({ name, running: true }));
const [APP, DB] = BARE as [VmSpec, VmSpec, VmSpec];

const sayYes = { settings: { yes: true } } as const;
const ENOSPC = 'internal error: process exited while connecting to monitor: No space left on device';

/** A command of the user that ends so; `there` is where it is found. */
const ends = (exitCode: number) => (ctx: Context) => {
  let seconds = 0;
  return {
    ...ctx,
    searchPath: '/usr/bin:/bin',
    clock: { ...ctx.clock, now: () => ctx.clock.now() + seconds * 1000 },
    runForeground: async () => {
      seconds = 42;
      return { exitCode, signal: null };
    },
  };
};
const UPGRADE = ['ssh', 'app-1', 'apt-get', '-y', 'full-upgrade'];
const COMMAND = ['env', ...UPGRADE];

golden('try', [
  {
    line: 'kvmsnap try app-1 -- env ssh app-1 apt-get -y full-upgrade',
    says: 'the command succeeds; nobody to ask',
    vms: [APP],
    run: (ctx) => tryOut(ends(0)(ctx), ['app-1'], COMMAND, {}),
  },
  {
    line: 'kvmsnap try app-1 --delete -- env ssh app-1 apt-get -y full-upgrade',
    says: 'the command succeeds',
    vms: [APP],
    run: (ctx) => tryOut(ends(0)(ctx), ['app-1'], COMMAND, { delete: true }),
  },
  {
    line: 'kvmsnap try app-1 --revert -- env ssh app-1 apt-get -y full-upgrade',
    says: 'the command fails',
    vms: [APP],
    run: (ctx) => tryOut(ends(100)(ctx), ['app-1'], COMMAND, { revert: true }),
  },
  {
    line: `kvmsnap try app-1 --vm db-1 --vm ${LONG} --name before-release --revert -- env ./release.sh`,
    says: 'several VMs; the command fails',
    vms: BARE,
    run: (ctx) =>
      tryOut(ends(1)(ctx), NAMES, ['env', './release.sh'], { name: 'before-release', revert: true }),
  },
  {
    line: 'kvmsnap try app-1 --vm db-1 --name before-release --revert -- env ./release.sh',
    says: 'the command fails, and so does the second revert',
    vms: [APP, DB],
    prepare: (host) => void host.refuses.set('snapshot-revert db-1', ENOSPC),
    run: (ctx) =>
      tryOut(ends(1)(ctx), ['app-1', 'db-1'], ['env', './release.sh'], {
        name: 'before-release',
        revert: true,
      }),
  },
  {
    line: 'kvmsnap try app-1 --vm db-1 --name before-release -- env ./release.sh',
    says: 'the second snapshot fails',
    vms: [APP, DB],
    prepare: (host) => void host.refuses.set('snapshot-create-as db-1', ENOSPC),
    run: (ctx) =>
      tryOut(ends(0)(ctx), ['app-1', 'db-1'], ['env', './release.sh'], { name: 'before-release' }),
  },
]);

golden('revert-group', [
  {
    line: 'kvmsnap revert --group before-release --yes',
    vms: GROUP,
    ...sayYes,
    run: (ctx) => revertGroup(ctx, undefined, 'before-release', {}),
  },
  {
    line: 'kvmsnap revert --group before-release --yes',
    says: 'the second VM cannot be reverted',
    vms: GROUP,
    ...sayYes,
    prepare: (host) => void host.refuses.set('snapshot-revert db-1', ENOSPC),
    run: (ctx) => revertGroup(ctx, undefined, 'before-release', {}),
  },
  {
    line: 'kvmsnap revert --group before-release --yes',
    says: 'one VM has lost its snapshot',
    vms: GROUP.slice(0, 2),
    ...sayYes,
    run: (ctx) => revertGroup(ctx, undefined, 'before-release', {}),
  },
  {
    line: 'kvmsnap revert --group before-release',
    says: 'nobody to ask',
    vms: GROUP,
    run: (ctx) => revertGroup(ctx, undefined, 'before-release', {}),
  },
]);

golden('delete-group', [
  {
    line: 'kvmsnap delete --group before-release --yes',
    vms: GROUP,
    ...sayYes,
    run: (ctx) => deleteGroup(ctx, undefined, 'before-release', {}),
  },
  {
    line: 'kvmsnap delete --group before-release --yes',
    says: 'one VM has lost its snapshot, and one deletion fails',
    vms: GROUP.slice(0, 2),
    ...sayYes,
    prepare: (host) => void host.refuses.set('snapshot-delete db-1', ENOSPC),
    run: (ctx) => deleteGroup(ctx, undefined, 'before-release', {}),
  },
  {
    line: 'kvmsnap delete --group before-release',
    says: 'nobody to ask',
    vms: GROUP,
    run: (ctx) => deleteGroup(ctx, undefined, 'before-release', {}),
  },
]);

const raw = (name: string) => (host: GoldenHost) => void host.images.set(imagePath(name), null);

golden('create-together', [
  {
    line: `kvmsnap create-as app-1 before-release --vm db-1 --vm ${LONG} --together`,
    vms: BARE,
    run: (ctx) => create(ctx, ['app-1'], 'before-release', { vm: NAMES.slice(1), together: true }),
  },
  {
    line: `kvmsnap create-as app-1 before-release --vm db-1 --vm ${LONG} --together`,
    says: 'one VM has a raw disk',
    vms: BARE,
    prepare: raw('db-1'),
    run: (ctx) => create(ctx, ['app-1'], 'before-release', { vm: NAMES.slice(1), together: true }),
  },
  {
    line: 'kvmsnap create-as app-1 before-release --vm db-1 --together',
    says: 'the snapshot of one VM fails',
    vms: [APP, DB],
    prepare: (host) => void host.refuses.set('snapshot-create-as db-1', ENOSPC),
    run: (ctx) => create(ctx, ['app-1'], 'before-release', { vm: ['db-1'], together: true }),
  },
]);

const directory = mkdtempSync('/tmp/kvmsnap-golden-');
afterAll(() => rmSync(directory, { recursive: true }));
const HISTORY = (GROUP[0]?.snapshots ?? []).map((each, i) => ({ ...each, age: 1200 - 600 * i }));
const FILE = join(directory, 'app-1.json');
writeFileSync(
  FILE,
  JSON.stringify({
    kvmsnapHistory: 1,
    savedAt: '2027-12-28T10:06:40+01:00',
    vm: { name: 'app-1', uuid: '423f4d57-8887-409e-a29c-e2ee1690a61b' },
    current: 'later',
    snapshots: HISTORY.map((spec) => ({ name: spec.name, xml: snapshotXml('app-1', spec) })),
  }),
);
const tagged = (host: GoldenHost) => {
  for (const disk of ['vda', 'vdb'])
    host.images.get(imagePath('app-1', disk))?.push(...HISTORY.map(({ name }) => name));
};
const load = (ctx: Context) => loadHistory(ctx, 'app-1', FILE, {});

golden('history-load', [
  { line: 'kvmsnap history load app-1 app-1.json', vms: [APP], prepare: tagged, run: load },
  {
    line: 'kvmsnap history load app-1 app-1.json',
    says: 'all is there already',
    vms: [{ ...APP, snapshots: HISTORY, current: 'later' }],
    run: load,
  },
  {
    line: 'kvmsnap history load app-1 app-1.json',
    says: 'one disk does not contain the snapshots',
    vms: [APP],
    prepare: (host) => {
      tagged(host);
      host.images.set(imagePath('app-1', 'vdb'), []);
    },
    run: load,
  },
  {
    line: 'kvmsnap history save app-1 app-1.json',
    vms: [APP],
    run: (ctx) => saveHistory(ctx, 'app-1', 'app-1.json', {}),
  },
]);

/** What `check` shows and fails with on one host. */
async function checkedOn(name: string, ctx: Context, prepared: GoldenHost): Promise<HostResult> {
  const views: View[] = [];
  const { settings } = ctx;
  const part = {
    ...prepared.context({ columns: null, settings }),
    host: { ...HOST, gather: (view: View) => void views.push(view) },
  };
  const failure = await check(part as unknown as Context, [], {}).then(
    () => null,
    (error: unknown) => error as KvmsnapError,
  );
  return { ...AWAY, name, destination: { name, address: name, sudo: false }, views, failure };
}
const HOST = { name: 'kvm1' };
const AWAY = { recording: null, isUnreached: false, code: 0 } as const;

golden('check-hosts', [
  {
    line: 'kvmsnap check --host kvm1,kvm2,kvm3',
    says: 'a raw disk on kvm2; kvm3 cannot be reached',
    vms: [],
    run: async (ctx) => {
      const second = goldenHost([{ name: 'oldbox' }]);
      raw('oldbox')(second);
      return conclude(ctx, 'check', [
        await checkedOn('kvm1', ctx, goldenHost([{ name: 'web-1' }, { name: LONG }])),
        await checkedOn('kvm2', ctx, second),
        {
          ...AWAY,
          name: 'kvm3',
          destination: { name: 'kvm3', address: 'kvm3', sudo: false },
          views: [],
          failure: new KvmsnapError(
            'unreachable',
            'cannot reach kvm3: ssh: connect to host kvm3 port 22: Connection timed out',
          ),
        },
      ]);
    },
  },
]);
