// The golden files of commands whose work is copying and booting: their reports, with what such a run has found.

import { showClone } from '../../src/clone/report.ts';
import type { Planned } from '../../src/content/new-files.ts';
import type { Session } from '../../src/content/session.ts';
import { setHold, describe as setText } from '../../src/describe/describe.ts';
import { KvmsnapError } from '../../src/errors.ts';
import { showExport } from '../../src/export/report.ts';
import { showMerged } from '../../src/merge/report.ts';
import { showOpen } from '../../src/open/report.ts';
import { report as showPolicies } from '../../src/policy/report.ts';
import { current } from '../../src/show/current.ts';
import { showVerdict, showVerdicts } from '../../src/verify/report.ts';
import { domain } from '../model.ts';
import { golden } from './golden.ts';
import { DAY, imagePath, NOW, type VmSpec } from './vms.ts';

const LONG = 'customer-4711-production-database-primary.example.com';
const GiB = 2 ** 30;

const WEB: VmSpec = {
  name: 'web-1',
  running: true,
  current: 'before-upgrade',
  snapshots: [
    { name: 'before-upgrade', age: 3 * DAY, kind: 'run', description: 'kernel 6.1\n\nKvmsnap-Hold: yes' },
  ],
};

const session = (vm = 'web-1') =>
  ({
    domain: domain({ name: vm, state: 'running' }),
    snapshot: { name: 'before-upgrade', createdAtSeconds: NOW - 3 * DAY },
  }) as unknown as Session;

const planned = (vm: string, directory: string): Planned[] =>
  ['vda', 'vdb'].map(
    (target) =>
      ({
        part: { target, path: imagePath(vm, target), diskBytes: 20 * GiB },
        path: `${directory}/${vm}-${target}.qcow2`,
        format: 'qcow2',
      }) as unknown as Planned,
  );

golden('current', [
  { line: 'kvmsnap current web-1', vms: [WEB], run: (ctx) => current(ctx, 'web-1') },
  {
    line: 'kvmsnap current oldbox',
    says: 'no snapshots',
    vms: [{ name: 'oldbox' }],
    run: (ctx) => current(ctx, 'oldbox'),
  },
]);

golden('describe', [
  {
    line: "kvmsnap describe web-1 before-upgrade 'after the upgrade'",
    vms: [WEB],
    run: (ctx) => setText(ctx, 'web-1', 'before-upgrade', 'after the upgrade'),
  },
  {
    line: 'kvmsnap unhold web-1 before-upgrade',
    vms: [WEB],
    run: (ctx) => setHold(ctx, 'web-1', 'before-upgrade', false),
  },
]);

const PROVEN = { outcome: 'proven', what: 'the guest agent answers', seconds: 41, screenshot: null } as const;
const NOT_PROVEN = {
  outcome: 'not proven',
  what: 'a kernel started, but neither the guest agent nor the balloon driver answered; it has read 34.1 MiB from its disks',
  seconds: 120,
  screenshot: null,
} as const;

const outcomeOf = (name: string) => ({
  vm: { name, uuid: null },
  state: 'running' as const,
  outcome: 'done' as const,
  failures: [],
  succeeded: 1,
});
const unproven = new KvmsnapError('check', `before-upgrade of ${LONG} is not proven: ${NOT_PROVEN.what}`, {
  hint: 'this page of the manual tells what proves a snapshot',
  command: 'kvmsnap help verifying',
});
const none = new KvmsnapError('not-found', 'oldbox has no snapshot with the label nightly');

golden('verify', [
  {
    line: 'kvmsnap verify web-1 before-upgrade',
    vms: [],
    run: (ctx) => showVerdict(ctx, { ...session(), verdict: PROVEN, failure: null }),
  },
  {
    line: 'kvmsnap verify web-1 before-upgrade',
    says: 'the guest does not answer',
    vms: [],
    run: (ctx) => showVerdict(ctx, { ...session(), verdict: NOT_PROVEN, failure: unproven }),
  },
  {
    line: 'kvmsnap verify --label nightly',
    vms: [],
    run: (ctx) =>
      showVerdicts(ctx, [
        { ...outcomeOf('web-1'), value: { ...session(), verdict: PROVEN, failure: null } },
        {
          ...outcomeOf(LONG),
          ...{ outcome: 'failed', failures: [unproven], succeeded: 0 },
          value: { ...session(LONG), verdict: NOT_PROVEN, failure: unproven },
        },
        { ...outcomeOf('oldbox'), outcome: 'skipped', failures: [none], succeeded: 0, value: null },
      ]),
  },
]);

golden('export', [
  {
    line: 'kvmsnap export web-1 before-upgrade /srv/exports',
    vms: [],
    run: (ctx) =>
      showExport(
        ctx,
        session(),
        {
          exported: planned('web-1', '/srv/exports').map((each) => ({
            ...each,
            occupiedBytes: 4_509_715_660,
          })),
          definition: '/srv/exports/web-1.xml',
        },
        '/srv/exports',
      ),
  },
]);

golden('clone', [
  {
    line: 'kvmsnap clone web-1 before-upgrade web-test',
    vms: [],
    run: (ctx) =>
      showClone(ctx, session(), {
        name: 'web-test',
        planned: planned('web-test', '/var/lib/libvirt/images'),
        macs: ['52:54:00:12:34:56'],
        occupied: new Map([
          ['vda', 4_509_715_660],
          ['vdb', 196_616],
        ]),
      } as unknown as Parameters<typeof showClone>[2]),
  },
]);

golden('open', [
  {
    line: 'kvmsnap open web-1 before-upgrade',
    vms: [],
    run: (ctx) =>
      showOpen(
        ctx,
        session(),
        ['vda', 'vdb'].map(
          (target) =>
            ({
              target,
              socket: `/run/kvmsnap/4711-8c02/${target}.sock`,
              diskBytes: 20 * GiB,
            }) as unknown as Parameters<typeof showOpen>[2][number],
        ),
      ),
  },
]);

const merged = (targets: readonly string[]) =>
  ({
    vm: session().snapshot && { domain: session().domain },
    facts: {
      merges: targets.map((target) => ({
        target,
        overlays: [{ path: `${imagePath('web-1', target)}.backup` }],
        base: { path: imagePath('web-1', target) },
      })),
    },
    unusedFiles: [],
  }) as unknown as Parameters<typeof showMerged>[1];

golden('merge', [
  {
    line: 'kvmsnap merge web-1',
    vms: [],
    run: (ctx) => showMerged(ctx, merged(['vda', 'vdb'])),
  },
  { line: 'kvmsnap merge web-1', says: 'nothing to do', vms: [], run: (ctx) => showMerged(ctx, merged([])) },
]);

golden('policy', [
  {
    line: 'kvmsnap policy --all',
    vms: [],
    run: (ctx) =>
      showPolicies(
        ctx,
        [
          { ...outcomeOf('web-1'), value: { policy: 'nightly', planned: null } },
          { ...outcomeOf(LONG), value: { policy: 'none', planned: null } },
          { ...outcomeOf('oldbox'), value: { policy: null, planned: null } },
        ],
        { single: false, isSet: false },
      ),
  },
]);
