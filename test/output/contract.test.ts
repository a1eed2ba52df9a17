import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { check } from '../../src/check/check.ts';
import { showClone } from '../../src/clone/report.ts';
import type { Part } from '../../src/content/facts.ts';
import type { Session } from '../../src/content/session.ts';
import { create } from '../../src/create/create.ts';
import { deleteSnapshots } from '../../src/delete/delete.ts';
import { describe as describeSnapshot, setHold } from '../../src/describe/describe.ts';
import { KvmsnapError } from '../../src/errors.ts';
import { showExport } from '../../src/export/report.ts';
import { loadHistory } from '../../src/history/load.ts';
import { saveHistory } from '../../src/history/save.ts';
import { mergeViews } from '../../src/hosts/merge-views.ts';
import { createSnapshotParser } from '../../src/libvirt/xml/snapshot.ts';
import { mergeVm } from '../../src/merge/merge.ts';
import { reportSnapshots } from '../../src/model/report.ts';
import { showOpen } from '../../src/open/report.ts';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { snapshotDocument } from '../../src/output/documents.ts';
import { jsonSchemas } from '../../src/output/schemas.ts';
import type { View } from '../../src/output/view.ts';
import { policy } from '../../src/policy/policy.ts';
import { pruneVms } from '../../src/prune/prune.ts';
import { showRevertedGroup } from '../../src/revert/report.ts';
import { revert } from '../../src/revert/revert.ts';
import type { Context } from '../../src/run/context.ts';
import type { DomainOutcome } from '../../src/run/for-each-domain.ts';
import { show } from '../../src/run/show.ts';
import { current } from '../../src/show/current.ts';
import { info } from '../../src/show/info.ts';
import { list } from '../../src/show/list.ts';
import { spaceOfAll } from '../../src/space/all.ts';
import { space } from '../../src/space/space.ts';
import { showVerdict, showVerdicts } from '../../src/verify/report.ts';
import type { VerifiedSnapshot } from '../../src/verify/verify.ts';
import { findSnapshot, loadVm } from '../../src/vm/load.ts';
import { capture, VERSIONS } from '../captures.ts';
import { fakeHost } from '../run/fake-host.ts';
import { schemaProblems } from '../schema.ts';

type Kind = keyof typeof DOCUMENTS;

/** Parses strictly: what the schema does not name is not part of the contract. */
function expectDocument(kind: Kind, document: unknown): void {
  expect(DOCUMENTS[kind].parse(document)).toEqual(document);
  expect(schemaProblems(jsonSchemas()[kind] ?? {}, document)).toEqual([]);
}

/** What is shown of two hosts after one has answered. */
async function showHosts(ctx: Context): Promise<void> {
  const views: View[] = [];
  await list(
    {
      ...ctx,
      host: {
        name: 'kvm1',
        gather: (view) => views.push(view),
        gatherMetrics: () => {},
        sharedWith: () => [],
      },
    },
    ['b-fix'],
    {},
  );
  const failure = new KvmsnapError('unreachable', 'cannot reach the host kvm2');
  await show(
    ctx,
    mergeViews(
      [
        {
          name: 'kvm1',
          views,
          failure: null,
          isUnreached: false,
          recording: null,
          code: 0,
          destination: { name: 'x', address: 'x', sudo: false },
        },
        {
          name: 'kvm2',
          views: [],
          failure,
          isUnreached: false,
          recording: null,
          code: 0,
          destination: { name: 'x', address: 'x', sudo: false },
        },
      ],
      true,
    ),
  );
}

const RUNS: readonly {
  readonly says: string;
  readonly kind: Kind;
  readonly dryRun?: boolean;
  readonly run: (ctx: Context) => Promise<void>;
}[] = [
  { says: 'list of one VM', kind: 'list', run: (ctx) => list(ctx, ['b-fix'], {}) },
  { says: 'list as a tree', kind: 'list', run: (ctx) => list(ctx, ['b-fix'], { tree: true }) },
  { says: 'list of all VMs', kind: 'list', run: (ctx) => list(ctx, [], {}) },
  {
    says: 'list of the newest of each VM',
    kind: 'list',
    run: (ctx) => list(ctx, [], { all: true, newest: 1, since: { seconds: 9e9, says: '9y' } }),
  },
  {
    says: 'space of all VMs, of which one cannot be measured',
    kind: 'space',
    run: (ctx) => expect(spaceOfAll(ctx, {})).rejects.toMatchObject({ code: 'check' }),
  },
  { says: 'current', kind: 'current', run: (ctx) => current(ctx, 'b-fix') },
  { says: 'create', kind: 'create', run: (ctx) => create(ctx, ['b-fix'], null, {}) },
  { says: 'create-as', kind: 'create', run: (ctx) => create(ctx, ['b-fix'], 's 2', { description: 'why' }) },
  {
    says: 'create with a label, and a prune after it',
    kind: 'create',
    run: (ctx) => create(ctx, ['b-fix'], null, { label: 'nightly', keepLast: 1 }),
  },
  { says: 'revert', kind: 'revert', run: (ctx) => revert(ctx, 'b-fix', 'off1', {}) },
  {
    says: 'revert with a backup',
    kind: 'revert',
    run: (ctx) => revert(ctx, 'b-fix', 'run1', { backupName: 'b' }),
  },
  {
    says: 'revert of a group',
    kind: 'revert-group',
    run: async (ctx) => {
      const vm = await loadVm(ctx, 'b-fix');
      await showRevertedGroup(ctx, {
        done: [{ vm, snapshot: findSnapshot(vm, 'off1'), backup: null }],
        left: [vm],
        failure: null,
      });
    },
  },
  {
    says: 'delete',
    kind: 'delete',
    run: (ctx) =>
      deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['off1', 'run1'] }], paired: false }, {}),
  },
  {
    says: 'check, of snapshots that a third was the parent of',
    kind: 'check',
    run: (ctx) => expect(check(ctx, ['b-fix'], {})).rejects.toMatchObject({ code: 'check' }),
  },
  {
    says: 'space, of images that cannot be measured',
    kind: 'space',
    run: (ctx) => expect(space(ctx, 'b-fix', [], {})).rejects.toMatchObject({ code: 'check' }),
  },
  { says: 'list of hosts, one of them dead', kind: 'hosts', run: showHosts },
  { says: 'merge, of a VM without overlays', kind: 'merge', run: (ctx) => mergeVm(ctx, 'b-fix', {}) },
  { says: 'history load, of what is registered', kind: 'history', run: loadOwnHistory },
  { says: 'export', kind: 'export', run: (ctx) => showExport(ctx, SESSION, EXPORTED, '/out') },
  { says: 'clone', kind: 'clone', run: (ctx) => showClone(ctx, SESSION, CLONED) },
  { says: 'verify', kind: 'verify', run: (ctx) => showVerdict(ctx, VERIFIED) },
  { says: 'verify --label', kind: 'verify-label', run: (ctx) => showVerdicts(ctx, [OF_ONE, OF_NONE]) },
  { says: 'policy', kind: 'policy', run: (ctx) => policy(ctx, [], { all: true }) },
  { says: 'open', kind: 'open', run: (ctx) => showOpen(ctx, SESSION, OPENED) },
  { says: 'info of a VM', kind: 'info', run: (ctx) => info(ctx, 'b-fix', undefined) },
  { says: 'info of a snapshot', kind: 'info-snapshot', run: (ctx) => info(ctx, 'b-fix', 'run1') },
  { says: 'hold', kind: 'current', run: (ctx) => setHold(ctx, 'b-fix', 'run1', true) },
  {
    says: 'unhold of what is not held',
    kind: 'current',
    run: (ctx) => setHold(ctx, 'b-fix', 'run1', false),
  },
  { says: 'describe', kind: 'current', run: (ctx) => describeSnapshot(ctx, 'b-fix', 'off1', 'a <b>') },
  {
    says: 'prune',
    kind: 'prune',
    run: (ctx) => pruneVms(ctx, ['b-*'], { match: '*1', keepLast: 1 }),
  },
  {
    says: 'a prune for space that cannot be told',
    kind: 'prune',
    run: (ctx) =>
      expect(pruneVms(ctx, ['b-fix'], { match: '*1', freeMin: { share: 0.2 } })).rejects.toMatchObject({
        code: 'check',
        message: expect.stringContaining('cannot determine the free space'),
      }),
  },
  {
    says: 'a dry create, and a prune for space after it',
    kind: 'dry-run',
    dryRun: true,
    run: (ctx) =>
      expect(
        create(ctx, ['b-fix'], null, { label: 'l', freeMin: { bytes: 50 * 2 ** 30 } }),
      ).rejects.toMatchObject({
        code: 'partial',
      }),
  },
  {
    says: 'a dry prune',
    kind: 'prune',
    dryRun: true,
    run: (ctx) => pruneVms(ctx, [], { all: true, match: '*', keepLast: 1 }),
  },
  {
    says: 'a dry create with a prune after it',
    kind: 'dry-run',
    dryRun: true,
    run: (ctx) => create(ctx, ['b-fix'], null, { label: 'nightly', keepLast: 1 }),
  },
  { says: 'a dry create', kind: 'dry-run', dryRun: true, run: (ctx) => create(ctx, ['b-fix'], 's2', {}) },
  {
    says: 'a dry revert with a backup',
    kind: 'dry-run',
    dryRun: true,
    run: (ctx) => revert(ctx, 'b-fix', 'off1', { backup: true }),
  },
  {
    says: 'a dry delete',
    kind: 'dry-run',
    dryRun: true,
    run: (ctx) =>
      deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['off1'] }], paired: false }, { children: true }),
  },
];

/** What `export` and `open` report on, without the tools that they start. */
const SESSION = {
  domain: { name: 'b-fix', uuid: '38aa2dd7-6a29-4ec2-8c65-e3d05ae2c3f1', state: 'running' },
  snapshot: { name: 'off1', createdAtSeconds: 1_800_000_000 },
} as Session;
const PART = { target: 'vda', path: '/vm/b-fix-vda.qcow2', diskBytes: 2 ** 26 } as Part;
const FILE = { path: '/out/b-fix-vda.qcow2', format: 'qcow2', compress: false } as const;
const EXPORTED = {
  exported: [{ part: PART, ...FILE, neededBytes: 2 ** 20, occupiedBytes: 2 ** 18 }],
  definition: null,
};

const CLONED = {
  ...{ name: 'test-1', uuid: 'b7e0b4c3-3f4c-4a39-8a3e-3e1c4b8a1d10', macs: ['52:54:00:12:34:56'] },
  planned: EXPORTED.exported,
  occupied: new Map([['vda', 2 ** 18]]),
};

const VERDICT = { outcome: 'proven', what: 'the guest agent answers', seconds: 9, screenshot: null } as const;

const VERIFIED = { ...SESSION, verdict: VERDICT, failure: null };
const OF_ONE: DomainOutcome<VerifiedSnapshot> = {
  vm: SESSION.domain,
  state: 'running',
  outcome: 'done',
  value: VERIFIED,
  failures: [],
  succeeded: 1,
};
const OF_NONE: DomainOutcome<VerifiedSnapshot> = {
  ...OF_ONE,
  outcome: 'skipped',
  value: null,
  failures: [new KvmsnapError('not-found', 'none')],
  succeeded: 0,
};

const OPENED = [
  {
    ...{ target: 'vda', socket: '/run/kvmsnap/1-2/sockets/vda.sock', diskBytes: 2 ** 26 },
    ended: new Promise<never>(() => undefined),
    close: async () => undefined,
  },
];

async function loadOwnHistory(ctx: Context): Promise<void> {
  const host = fakeHost();
  await saveHistory(host.context(), 'b-fix', undefined, {});
  const file = join(mkdtempSync(join(tmpdir(), 'kvmsnap-')), 'history');
  writeFileSync(file, host.printed.join(''));
  await loadHistory(ctx, 'b-fix', file, {});
}

describe('what a command prints with -o json', () => {
  test.each(RUNS)('$says', async ({ kind, dryRun = false, run }) => {
    const host = fakeHost();
    await run(host.context({ dryRun }));
    expect(host.printed).toHaveLength(1);
    const document: unknown = JSON.parse(host.printed[0] ?? '');
    expectDocument(kind, document);
    expect(document).toMatchObject({ schemaVersion: 1 });
  });

  test('of a delete that goes wrong in part says what went and what did not', async () => {
    const host = fakeHost();
    await expect(
      deleteSnapshots(
        host.context(),
        { named: [{ vm: 'b-fix', names: ['off1', 'nosuch'] }], paired: false },
        {},
      ),
    ).rejects.toMatchObject({
      code: 'partial',
    });
    const document: unknown = JSON.parse(host.printed[0] ?? '');
    expectDocument('delete', document);
    expect(document).toMatchObject({
      domains: [{ outcome: 'failed', deleted: ['off1'], failed: [{ name: 'nosuch', code: 'not-found' }] }],
    });
  });

  test.each([
    ['missing', new Map<string, string[]>()],
    ['there', new Map([['/vm/b-fix-vda.qcow2', ['run1', 'run1']]])],
  ])('info, the images %s', async (_, images) => {
    const host = fakeHost();
    host.images.clear();
    for (const [path, names] of images) host.images.set(path, names);
    await info(host.context(), 'b-fix', undefined);
    await info(host.context(), 'b-fix', 'run1');
    expectDocument('info', JSON.parse(host.printed[0] ?? ''));
    expectDocument('info-snapshot', JSON.parse(host.printed[1] ?? ''));
  });

  test('of a list has as many snapshots as were asked for', async () => {
    const host = fakeHost();
    await list(host.context(), ['b-fix'], { newest: 1 });
    await list(host.context(), [], { all: true, newest: 1 });
    await list(host.context(), [], { all: true, since: { seconds: 1, says: '1s' } });
    const namesOf = (text: string | undefined) =>
      JSON.parse(text ?? '').domains.map(({ snapshots }: { snapshots: { name: string }[] }) =>
        snapshots.map(({ name }) => name),
      );
    expect(host.printed.map(namesOf)).toEqual([[['run1']], [['run1']], [[]]]);
  });

  test('every kind of document has been seen', () => {
    const seen = new Set<Kind>([...RUNS.map(({ kind }) => kind), 'error']);
    expect([...seen].sort()).toEqual(Object.keys(DOCUMENTS).sort());
  });
});

describe.each(VERSIONS)('libvirt %s', (version) => {
  test('each captured snapshot makes a document', () => {
    const files = ['off1', 'run1', 'ext1', 'extmem1', 'ext1-after-revert'];
    const snapshots = files.map((name) => createSnapshotParser()(capture(version, `dumpxml-${name}.out`)));
    const reports = reportSnapshots(snapshots, { current: 'run1', busy: false, images: null });
    const documents = reports.map(snapshotDocument);
    expectDocument('list', {
      schemaVersion: 1,
      domains: [
        {
          name: 'b-fix',
          uuid: 'u',
          state: 'running',
          current: 'run1',
          snapshots: documents,
          errors: [],
          failed: [],
        },
      ],
    });
    expect(documents.map(({ name, location }) => [name, location]).sort()).toEqual([
      ['ext1', 'external'],
      ['ext1', 'external'],
      ['extmem1', 'external'],
      ['off1', 'internal'],
      ['run1', 'internal'],
    ]);
  });
});

describe('the JSON Schema of a document', () => {
  const schema = jsonSchemas()['current'] ?? {};
  const document = async () => {
    const host = fakeHost();
    await current(host.context(), 'b-fix');
    return JSON.parse(host.printed[0] ?? '');
  };

  test('wants every member', async () => {
    const { domain, ...rest } = await document();
    expect(schemaProblems(schema, rest)).toEqual([" must have required property 'domain'"]);
    expect(schemaProblems(schema, { ...rest, domain: { ...domain, uuid: 7 } })).toEqual([
      '/domain/uuid must be string',
    ]);
  });

  test('wants times with an offset, and whole bytes', async () => {
    const { snapshot, ...rest } = await document();
    const wrong = { ...snapshot, createdAt: '2026-11-23 03:00', vmStateBytes: 0.5 };
    expect(schemaProblems(schema, { ...rest, snapshot: wrong }).join()).toMatch(
      /createdAt must match.*vmStateBytes must be integer/,
    );
  });

  test('lets a later version add members', async () => {
    const { snapshot, ...rest } = await document();
    expect(schemaProblems(schema, { ...rest, new: 1, snapshot: { ...snapshot, new: [] } })).toEqual([]);
  });
});
