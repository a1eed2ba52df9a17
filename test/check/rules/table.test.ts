import { describe, expect, test } from 'vitest';
import type { CheckFacts } from '../../../src/check/rules/facts.ts';
import { NO_LIMITS } from '../../../src/check/rules/limits.ts';
import { CHECK_RULES } from '../../../src/check/rules/table.ts';
import type { DiskImage } from '../../../src/model/image.ts';
import { withVerified } from '../../../src/model/marks/verified.ts';
import { reportSnapshots } from '../../../src/model/report.ts';
import { applyRules, type RuledFinding } from '../../../src/model/rule.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { inText } from '../../../src/model/text.ts';
import { NOBODY } from '../../../src/sharing/image-users.ts';
import type { LeftPause } from '../../../src/vm/left-pause.ts';
import { disk, domain, MiB, seen, snapshot, TAKEN_AT, tag, usedBy } from '../../model.ts';

interface Given {
  readonly vm?: Parameters<typeof domain>[0];
  readonly snapshots?: readonly Snapshot[];
  readonly current?: string | null;
  readonly images?: ReadonlyMap<string, DiskImage>;
  readonly unusedMemory?: CheckFacts['unusedMemory'];
  readonly unusedFiles?: CheckFacts['unusedFiles'];
  readonly limits?: Partial<CheckFacts['limits']>;
  readonly freed?: CheckFacts['freed'];
  /** Where libvirt will look. */
  readonly stored?: ReadonlyMap<string, DiskImage>;
  readonly unread?: readonly string[];
  readonly users?: CheckFacts['users'];
  readonly daemonVersion?: CheckFacts['daemonVersion'];
  readonly readableFiles?: readonly string[];
  readonly limitsLeftOut?: string | null;
  readonly policies?: readonly string[] | null;
  readonly leftPause?: CheckFacts['leftPause'];
}

const NOW = TAKEN_AT + 3600;

/** A disk on so many overlays. */
const deep = (overlays: number): ReadonlyMap<string, DiskImage> => {
  const [top = {}, ...below] = Array.from({ length: overlays + 1 }, (_, i) => ({
    path: `/vm/vda.${overlays - i}`,
  }));
  return new Map([['vda', seen(top, ...below)]]);
};

/** External snapshots, each over the overlay of the one before. */
const layers = (count: number): Snapshot[] =>
  Array.from({ length: count }, (_, i) =>
    snapshot(`s${i + 1}`, {
      createdAtSeconds: TAKEN_AT + i,
      parent: i === 0 ? null : `s${i}`,
      disks: [{ target: 'vda', location: 'external', source: `/vm/vda.${i + 1}` }],
      definedDisks: [{ target: 'vda', source: `/vm/vda.${i}`, driver: 'qcow2' }],
    }),
  );

function found({
  vm,
  snapshots = [],
  current,
  images,
  unusedMemory,
  unusedFiles = [],
  limits = {},
  limitsLeftOut = null,
  policies = [],
  freed = null,
  unread = [],
  users = NOBODY,
  stored,
  daemonVersion = 12_008_000,
  readableFiles = [],
  leftPause = null,
}: Given): RuledFinding[] {
  const ofDisks = images ?? new Map([['vda', seen({ tags: snapshots.map(({ name }) => tag(name)) })]]);
  const about = domain(vm);
  const isCurrent = current === undefined ? (snapshots.at(-1)?.name ?? null) : current;
  return applyRules(CHECK_RULES, {
    domain: about,
    snapshots: reportSnapshots(snapshots, { current: isCurrent, busy: about.busy, images: ofDisks }),
    current: isCurrent,
    images: ofDisks,
    stored: new Map(snapshots.map(({ name }) => [name, stored ?? ofDisks])),
    unusedMemory: unusedMemory ?? new Map(),
    unusedFiles,
    users,
    nowSeconds: NOW,
    limitsLeftOut,
    policies,
    limits: { ...NO_LIMITS, ...limits },
    freed,
    daemonVersion,
    readableFiles,
    leftPause,
    unread: unread.map((name) => ({
      name,
      failure: { message: `cannot read the snapshot ${inText(name)}` },
    })),
  });
}

const looking = (format: string) => ({ format, names: [], mayName: false });
const NIGHTLY = 'nightly-20261123T030000Z';
const inVda = (...names: string[]) => new Map([['vda', seen({ tags: names.map((name) => tag(name)) })]]);
const limit = (crit: number, warn: number | null = null) => ({
  warn: warn === null ? null : { amount: warn, says: `W${warn}` },
  crit: { amount: crit, says: `C${crit}` },
});
const newest = (seconds: number, label: string | null = null) => ({
  maxAge: { warn: null, crit: { amount: seconds, says: '1h' } },
  label,
});
const proof = (seconds: number, label: string | null = null) => ({
  verified: { warn: null, crit: { amount: seconds, says: '1h' } },
  label,
});
/** A snapshot that was verified so many seconds ago. */
const verified = (name: string, outcome: 'proven' | 'not proven' | 'failed', secondsAgo: number) =>
  snapshot(name, {
    description: withVerified(null, { atSeconds: NOW - secondsAgo, outcome, seen: 'it was seen' }),
  });
const HELD = 'Kvmsnap-Hold: yes';
/** Snapshots that were taken in turn, the last one an hour ago and the others a day earlier each. */
const days = (...names: string[]): Snapshot[] =>
  names.map((name, i) =>
    snapshot(name, {
      createdAtSeconds: TAKEN_AT - (names.length - 1 - i) * 86_400,
      description: name.startsWith('held') ? HELD : null,
    }),
  );

const MOVED = { target: 'vda', location: 'internal', source: '/old/vda.qcow2' } as const;
const GONE: DiskImage = { kind: 'broken', why: 'missing', path: '/old/vda.qcow2', detail: 'gone' };

const UNUSED_MEMORY = new Map([['vda', { bytes: 40 * MiB, endBytes: 2 ** 30 }]]);

const UNFINISHED = snapshot('s1', { description: 'Kvmsnap-Together: unfinished' });

const left = (how: 'paused' | 'frozen', verdict: LeftPause['verdict']): LeftPause => ({
  record: { how, snapshot: 's1', since: TAKEN_AT * 1000, owner: '', ran: 0, exact: true },
  verdict,
});

const CASES: Readonly<
  Record<string, { readonly silent: readonly Given[]; readonly loud: readonly (readonly [Given, object])[] }>
> = {
  'left-paused': {
    silent: [
      { vm: { state: 'paused', stateReason: 'user' } },
      { vm: { state: 'paused', stateReason: 'saving', busy: true } },
    ],
    loud: [
      [
        { vm: { state: 'paused', stateReason: 'saving' } },
        { severity: 'error', command: 'virsh resume centos7-1' },
      ],
    ],
  },
  'left-by-together': {
    silent: [
      { vm: { state: 'paused', stateReason: 'user' } },
      { vm: { state: 'running' }, leftPause: left('paused', 'over') },
      { vm: { state: 'running' }, leftPause: left('paused', 'unproven') },
    ],
    loud: [
      [
        { vm: { state: 'paused' }, leftPause: left('paused', 'ours') },
        { severity: 'error', command: 'virsh resume centos7-1' },
      ],
      [
        { vm: { state: 'running' }, leftPause: left('frozen', 'ours') },
        { severity: 'error', command: 'virsh domfsthaw centos7-1' },
      ],
      [
        { vm: { state: 'paused' }, leftPause: left('paused', 'unproven') },
        { severity: 'warning', command: 'virsh resume centos7-1' },
      ],
      [{ vm: { state: 'paused' }, leftPause: left('paused', 'under-way') }, { severity: 'information' }],
    ],
  },
  'unfinished-together': {
    silent: [
      { snapshots: days('s1') },
      { snapshots: [snapshot('s1', { description: 'x\n\nKvmsnap-Together: ["centos7-1"]' })] },
      { snapshots: [UNFINISHED], leftPause: left('paused', 'under-way') },
    ],
    loud: [[{ snapshots: [UNFINISHED] }, { severity: 'warning', command: 'kvmsnap delete centos7-1 s1' }]],
  },
  'paused-by-write-error': {
    silent: [{ vm: { state: 'paused', stateReason: 'user' } }, {}],
    loud: [
      [
        { vm: { state: 'paused', stateReason: 'I/O error' } },
        { severity: 'error', commands: ['virsh domblkerror centos7-1', 'virsh resume centos7-1'] },
      ],
    ],
  },
  'failed-verification': {
    silent: [{ snapshots: [snapshot('a'), verified('b', 'proven', 60), verified('c', 'not proven', 60)] }],
    loud: [
      [
        { snapshots: [verified('a', 'failed', 7200)] },
        {
          snapshot: 'a',
          severity: 'warning',
          what: 'kvmsnap verify found 2 h ago that the guest of snapshot a does not work: it was seen',
          command: 'kvmsnap verify centos7-1 a',
        },
      ],
    ],
  },
  'unread-snapshot': {
    silent: [{ snapshots: [snapshot('a')] }],
    loud: [
      [
        { snapshots: [snapshot('a')], unread: ['b c'] },
        {
          severity: 'error',
          snapshot: 'b c',
          what: expect.stringContaining("cannot read the snapshot 'b c'"),
          command: "virsh snapshot-dumpxml centos7-1 --snapshotname 'b c'",
        },
      ],
    ],
  },
  'under-way': {
    silent: [{ snapshots: [snapshot('a')] }],
    loud: [
      [
        {
          vm: { state: 'running', busy: true },
          snapshots: [snapshot('a')],
          current: null,
          images: inVda(),
        },
        { severity: 'information', snapshot: 'a' },
      ],
      [{ vm: { state: 'running', busy: true } }, { what: expect.stringContaining('another job') }],
    ],
  },
  'orphan-tag': {
    silent: [
      { snapshots: [snapshot('a')] },
      { images: new Map([['vda', { kind: 'unseen', why: 'remote', format: null, source: 'storage pool' }]]) },
      // a disk that takes no part belongs to nobody's snapshot
      { vm: { disks: [disk({ readonly: true })] }, images: inVda('x') },
    ],
    loud: [
      [
        { snapshots: [snapshot('a')], images: inVda('a', "b'c") },
        {
          severity: 'warning',
          hint: 'this registers the snapshot again; then kvmsnap delete can delete it',
          command: 'kvmsnap check --fix centos7-1',
        },
      ],
      [
        {
          vm: { disks: [disk(), disk({ target: 'vdb' })] },
          images: new Map([
            ['vda', seen({ tags: [tag('x'), tag('x', { id: '2' })] })],
            ['vdb', seen({ path: '/vm/vdb.qcow2', tags: [tag('x')] })],
          ]),
        },
        {
          what: 'disks vda, vdb contain the snapshot x, which is not registered in libvirt (disk vda contains it 2 times)',
          commands: [
            'qemu-img snapshot -d x --image-opts driver=qcow2,file.filename=/vm/vda.qcow2',
            'qemu-img snapshot -d x --image-opts driver=qcow2,file.filename=/vm/vdb.qcow2',
          ],
        },
      ],
    ],
  },
  'used-by-others': {
    silent: [
      { images: inVda() },
      // many may lie on one image that nobody writes to
      {
        images: new Map([['vda', seen({}, { path: '/vm/base' })]]),
        users: usedBy('/vm/base', { kind: 'below', writes: false }),
      },
    ],
    loud: [
      [
        { images: inVda('s9'), users: usedBy('/vm/vda.qcow2', { kind: 'tags', snapshots: ['s9'] }) },
        {
          severity: 'information',
          what: expect.stringMatching(
            /is also used elsewhere: VM web-2 \(shut off\) has its snapshot s9 in it/,
          ),
        },
      ],
      [
        {
          images: new Map([['vda', seen({}, { path: '/vm/base' })]]),
          users: usedBy('/vm/base', {}),
        },
        { what: expect.stringMatching(/^disk vda: \/vm\/base is also used/) },
      ],
    ],
  },
  'no-data': {
    silent: [
      { snapshots: [snapshot('a')] },
      // one disk still has it: a revert's rule tells that
      {
        vm: { disks: [disk(), disk({ target: 'vdb' })] },
        snapshots: [
          snapshot('a', {
            disks: ['vda', 'vdb'].map((target) => ({
              target,
              location: 'internal',
              source: `/vm/${target}.qcow2`,
            })),
          }),
        ],
        images: new Map([
          ['vda', seen({ tags: [tag('a')] })],
          ['vdb', seen({ path: '/vm/vdb.qcow2' })],
        ]),
      },
      {
        snapshots: [snapshot('a')],
        images: new Map([
          ['vda', { kind: 'unseen', why: 'permission', format: null, source: 'storage pool' }],
        ]),
      },
      { snapshots: [snapshot('a', { disks: [{ target: 'vda', location: 'external', source: '/vm/o' }] })] },
    ],
    loud: [
      [
        { snapshots: [snapshot('a')], images: inVda() },
        { severity: 'error', snapshot: 'a', command: 'kvmsnap delete --metadata centos7-1 a' },
      ],
    ],
  },
  moved: {
    silent: [{ snapshots: [snapshot('a')] }],
    loud: [
      [
        {
          snapshots: [snapshot('a', { disks: [MOVED] })],
          stored: new Map([['vda', GONE]]),
          images: inVda('a'),
        },
        { severity: 'error', snapshot: 'a', command: 'kvmsnap check --fix centos7-1' },
      ],
    ],
  },
  'broken-parent': {
    silent: [
      { snapshots: [snapshot('a'), snapshot('b', { parent: 'a' })] },
      { snapshots: [snapshot('b', { parent: 'a' })], unread: ['a'] },
    ],
    loud: [
      [
        { snapshots: [snapshot('b', { parent: 'a' })] },
        { severity: 'warning', snapshot: 'b', what: expect.stringContaining('a, which does not exist') },
      ],
    ],
  },
  'no-current': {
    silent: [{}, { snapshots: [snapshot('a')] }],
    loud: [
      [
        { snapshots: [snapshot('a'), snapshot('b', { createdAtSeconds: TAKEN_AT + 1 })], current: null },
        { severity: 'information', command: 'virsh snapshot-current centos7-1 --snapshotname b' },
      ],
    ],
  },
  'chain-too-deep': {
    silent: [
      { images: deep(24), daemonVersion: 11_003_000 },
      { images: deep(199), daemonVersion: 12_000_000 },
      { images: deep(199), daemonVersion: 9_000_000 },
    ],
    loud: [
      [
        {
          images: deep(25),
          daemonVersion: 11_003_000,
          vm: { state: 'running' },
          snapshots: layers(25),
        },
        {
          severity: 'error',
          what: expect.stringMatching(
            /^disk vda has a chain of 25 overlays, .* when libvirtd restarts, the running VM may be stopped, and its memory lost$/,
          ),
          command: `kvmsnap delete centos7-1 ${layers(7)
            .map(({ name }) => name)
            .join(' ')}`,
        },
      ],
      [
        { images: deep(25), daemonVersion: 11_003_000, snapshots: layers(25) },
        {
          what: expect.stringContaining('or delete its snapshots while it is off'),
          commands: [
            'qemu-img commit -q -f qcow2 /vm/vda.25',
            `virsh dumpxml --inactive --security-info centos7-1 | sed "s|'/vm/vda.25'|'/vm/vda.24'|" | virsh define /dev/stdin`,
            'kvmsnap delete --metadata centos7-1 s25',
            'rm /vm/vda.25',
          ],
        },
      ],
      [{ images: deep(25), daemonVersion: null }, { hint: expect.stringContaining('12.0') }],
      [{ images: deep(200) }, { what: expect.stringContaining('more than 199 overlays') }],
    ],
  },
  'chain-deep': {
    silent: [
      { images: deep(17), daemonVersion: 11_003_000 },
      { images: deep(25), daemonVersion: 11_003_000 },
      { images: deep(24) },
    ],
    loud: [
      [
        { images: deep(18), daemonVersion: 11_003_000, snapshots: layers(18) },
        {
          severity: 'warning',
          commands: [
            'virsh start centos7-1',
            expect.stringMatching(/^kvmsnap delete centos7-1 s1 s2 .* s9$/),
          ],
        },
      ],
    ],
  },
  'unmerged-overlay': {
    silent: [
      { images: new Map([['vda', seen({ path: '/vm/vda.b1' })]]) },
      { images: deep(1), snapshots: layers(1) },
      // what a revert to the external snapshot has made
      {
        images: new Map([['vda', seen({ path: '/vm/vda.1790000000' }, { path: '/vm/vda.0' })]]),
        snapshots: layers(1),
      },
      // the template of a clone
      { images: new Map([['vda', seen({ path: '/vm/web.qcow2' }, { path: '/vm/template.qcow2' })]]) },
      { images: new Map([['vda', seen({ path: '/vm/base.web.qcow2' }, { path: '/vm/base.img' })]]) },
    ],
    loud: [[{ images: deep(2) }, { severity: 'information', command: 'kvmsnap merge centos7-1' }]],
  },
  'dirty-image': {
    silent: [
      { images: new Map([['vda', seen({ dirty: true })]]), vm: { state: 'running' } },
      { images: new Map([['vda', seen({ dirty: true, corrupt: true })]]) },
    ],
    loud: [
      [
        { images: new Map([['vda', seen({ dirty: true })]]) },
        {
          severity: 'warning',
          what: expect.stringContaining('disk vda'),
          command: 'cp --reflink=auto -- /vm/vda.qcow2 /vm/vda.qcow2.copy',
        },
      ],
    ],
  },
  'read-only-disk': {
    silent: [
      { vm: { disks: [disk({ device: 'cdrom', readonly: true })] } },
      { vm: { disks: [disk({ readonly: true, hasSource: false })] } },
    ],
    loud: [
      [
        { vm: { disks: [disk(), disk({ target: 'vdb', readonly: true })] } },
        { severity: 'information', what: 'disk vdb is read-only, so snapshots do not contain it' },
      ],
    ],
  },
  'no-guest-agent': {
    silent: [
      { vm: { state: 'running', agentChannel: 'connected' } },
      { vm: { agentChannel: 'disconnected' } },
    ],
    loud: [
      [
        { vm: { state: 'running' } },
        { severity: 'information', what: expect.stringContaining('has no channel') },
      ],
      [
        { vm: { state: 'running', agentChannel: 'disconnected' } },
        { what: expect.stringContaining('the guest agent does not answer') },
      ],
    ],
  },
  'unused-memory': {
    silent: [
      { unusedMemory: new Map([['vda', { bytes: 4096, endBytes: 2 ** 30 }]]) },
      { unusedMemory: UNUSED_MEMORY, vm: { state: 'running', busy: true } },
      { unusedMemory: UNUSED_MEMORY, vm: { state: 'paused', stateReason: 'saving' } },
    ],
    loud: [
      [
        { unusedMemory: UNUSED_MEMORY, images: inVda() },
        {
          severity: 'warning',
          what: expect.stringMatching(
            /^disk vda: 40 MiB of the image are saved memory that no snapshot needs/,
          ),
          commands: [
            'qemu-img resize -f qcow2 /vm/vda.qcow2 +1006632960',
            'qemu-img resize -f qcow2 --shrink /vm/vda.qcow2 67108864',
          ],
        },
      ],
      [
        { unusedMemory: UNUSED_MEMORY, images: inVda(), vm: { state: 'running' } },
        { hint: expect.stringContaining('with the VM off') },
      ],
      [
        { unusedMemory: UNUSED_MEMORY, images: new Map([['vda', seen({ encrypted: true })]]) },
        { hint: expect.stringContaining('the next snapshot') },
      ],
    ],
  },
  'encrypted-by-guest': {
    silent: [
      {},
      { images: new Map([['vda', seen({ format: 'raw', looksLike: looking('qcow2') })]]) },
      { images: new Map([['vda', seen({ format: 'luks', encrypted: true })]]) },
    ],
    loud: [
      [
        { images: new Map([['vda', seen({ format: 'raw', looksLike: looking('luks') })]]) },
        { severity: 'information', what: expect.stringContaining('looks like luks') },
      ],
    ],
  },
  'unused-file': {
    silent: [{}],
    loud: [
      [
        { unusedFiles: [{ path: '/vm/a b.mem', over: null }] },
        { severity: 'information', what: expect.stringContaining('memory'), command: "rm '/vm/a b.mem'" },
      ],
      [
        { unusedFiles: [{ path: '/vm/vda.s1', over: '/vm/vda.qcow2' }] },
        { what: expect.stringContaining('/vm/vda.s1 is an overlay of /vm/vda.qcow2') },
      ],
    ],
  },
  'readable-file': {
    silent: [{}],
    loud: [
      [
        { readableFiles: ['/vm/vda.e 1'] },
        {
          severity: 'warning',
          what: expect.stringContaining('/vm/vda.e 1'),
          command: "chmod 600 '/vm/vda.e 1'",
        },
      ],
    ],
  },
  'other-policy': {
    silent: [{}],
    loud: [
      [
        { limitsLeftOut: 'its policy is none' },
        {
          severity: 'information',
          what: 'its policy is none, so the limits do not apply to the VM',
        },
      ],
    ],
  },
  'no-policy': {
    silent: [
      { vm: { policy: 'none' } },
      { vm: { policy: 'nightly' }, policies: ['nightly'] },
      { vm: { policy: 'nigthly' }, policies: null },
    ],
    loud: [
      [
        { vm: { policy: 'nigthly' }, policies: ['nightly'] },
        {
          severity: 'warning',
          what: 'its policy is @nigthly, for which there is no file, so all runs with a policy leave out the VM',
          hint: 'did you mean nightly?',
          command: 'kvmsnap policy --set nightly centos7-1',
        },
      ],
      [
        { vm: { policy: 'weekly' } },
        { hint: expect.stringContaining('/weekly.conf'), command: 'kvmsnap policy --unset centos7-1' },
      ],
    ],
  },
  'too-old': {
    silent: [
      { snapshots: [snapshot('a')] },
      { snapshots: [snapshot('a')], limits: newest(3600) },
      // the clock of another host is a little ahead
      { snapshots: [snapshot('a', { createdAtSeconds: TAKEN_AT + 3660 })], limits: newest(3600) },
      {
        snapshots: [snapshot('a'), snapshot('b', { createdAtSeconds: TAKEN_AT + 86_400 })],
        limits: newest(3600),
      },
      { snapshots: [snapshot(NIGHTLY), snapshot('z')], limits: newest(3600, 'nightly') },
      { snapshots: [snapshot('a')], unread: ['b'], limits: newest(3600) },
    ],
    loud: [
      [
        { snapshots: [snapshot('a')], limits: newest(3599) },
        {
          severity: 'error',
          what: 'the newest snapshot, a, is older than 1h',
          command: 'kvmsnap create centos7-1',
        },
      ],
      [
        { snapshots: [snapshot('a', { createdAtSeconds: TAKEN_AT + 86_400 })], limits: newest(3600) },
        {
          severity: 'error',
          what: 'the newest snapshot, a, is dated in the future, so it may be older than 1h',
          command: 'kvmsnap create centos7-1',
        },
      ],
      [{ limits: newest(9999) }, { what: 'the VM has no snapshots, so none is younger than 1h' }],
      [
        { snapshots: [snapshot(NIGHTLY), snapshot('z')], limits: newest(3599, 'nightly') },
        { what: `the newest snapshot with the label nightly, ${inText(NIGHTLY)}, is older than 1h` },
      ],
      [
        { snapshots: [snapshot('a')], unread: ['b'], limits: newest(3599) },
        { what: 'the newest readable snapshot, a, is older than 1h' },
      ],
      [
        { snapshots: [snapshot('a')], limits: newest(9999, 'nightly') },
        {
          what: 'the VM has no snapshots with the label nightly, so none is younger than 1h',
          command: 'kvmsnap create --label nightly centos7-1',
        },
      ],
      // one that is still being written may vanish again
      [
        {
          vm: { state: 'running', busy: true },
          snapshots: [snapshot('a', { createdAtSeconds: TAKEN_AT - 7200 }), snapshot('b')],
          current: 'a',
          images: inVda('a'),
          limits: newest(3600),
        },
        { what: 'the newest snapshot, a, is older than 1h' },
      ],
    ],
  },
  'not-proven-lately': {
    silent: [
      { snapshots: [snapshot('a')] },
      { snapshots: [verified('a', 'proven', 3600), snapshot('b')], limits: proof(3600) },
      { snapshots: [verified(NIGHTLY, 'proven', 60)], limits: proof(3600, 'nightly') },
    ],
    loud: [
      [
        { snapshots: [verified('a', 'proven', 3600), snapshot('b')], limits: proof(3599) },
        {
          severity: 'error',
          what: 'the last proof that a snapshot works, of a, is older than 1h',
          command: 'kvmsnap verify centos7-1 b',
        },
      ],
      [
        { snapshots: [verified('a', 'proven', -86_400), snapshot('b')], limits: proof(3600) },
        {
          severity: 'error',
          what: 'the last proof that a snapshot works, of a, is dated in the future, so it may be older than 1h',
        },
      ],
      [
        { snapshots: [verified('a', 'not proven', 60), verified('b', 'failed', 60)], limits: proof(3600) },
        { severity: 'error', what: 'no snapshot is proven to work', command: 'kvmsnap verify centos7-1 b' },
      ],
      [
        { snapshots: [verified('a', 'proven', 60)], limits: proof(3600, 'nightly') },
        { what: 'no snapshot with the label nightly is proven to work' },
      ],
    ],
  },
  'kept-too-long': {
    silent: [
      { snapshots: days('a', 'b', 'c') },
      { snapshots: days('a', 'b', 'c'), limits: { oldest: limit(2 * 86_400 + 3600) } },
      { snapshots: days('held-1', 'held-2', 'c'), limits: { oldest: limit(86_400) } },
      { snapshots: days('a', 'b', NIGHTLY), limits: { oldest: limit(86_400), label: 'nightly' } },
      { limits: { oldest: limit(1) } },
    ],
    loud: [
      [
        { snapshots: days('a', 'b', 'c'), limits: { oldest: limit(86_400) } },
        {
          severity: 'error',
          what: 'the oldest snapshot, a, and 1 more are older than C86400',
          command: 'kvmsnap delete centos7-1 a b',
        },
      ],
      [
        { snapshots: days('held', 'b', 'c'), limits: { oldest: limit(999_999, 86_400) } },
        {
          severity: 'warning',
          what: 'the oldest snapshot, b, is older than W86400',
          command: 'kvmsnap delete centos7-1 b',
        },
      ],
    ],
  },
  'too-many': {
    silent: [
      { snapshots: days('a', 'b', 'c') },
      { snapshots: days('a', 'b', 'c'), limits: { most: limit(3) } },
      { snapshots: days('a', 'held', 'c'), limits: { most: limit(2) } },
      { snapshots: days('a', 'b', NIGHTLY), limits: { most: limit(1), label: 'nightly' } },
      {
        vm: { state: 'running', busy: true },
        snapshots: days('a', 'b'),
        current: 'a',
        images: inVda('a'),
        limits: { most: limit(1) },
      },
    ],
    loud: [
      [
        { snapshots: days('a', 'b', 'c'), limits: { most: limit(1, 0) } },
        {
          severity: 'error',
          what: 'the VM has 3 snapshots, more than C1',
          command: 'kvmsnap delete centos7-1 a b',
        },
      ],
      [
        { snapshots: days('a', 'held', 'c'), limits: { most: limit(2, 1) } },
        {
          severity: 'warning',
          what: 'the VM has 2 snapshots, more than W1',
          command: 'kvmsnap delete centos7-1 a',
        },
      ],
    ],
  },
  'too-much-space': {
    silent: [
      { freed: { bytes: 5 * MiB, approximate: false } },
      { limits: { holds: limit(5 * MiB) } },
      { limits: { holds: limit(5 * MiB) }, freed: { bytes: 5 * MiB, approximate: false } },
    ],
    loud: [
      [
        { limits: { holds: limit(MiB, 1) }, freed: { bytes: 5 * MiB, approximate: true } },
        {
          severity: 'error',
          what: `the snapshots use about 5.0 MiB, more than C${MiB}`,
          command: 'kvmsnap space --sort frees centos7-1',
        },
      ],
      [
        { limits: { holds: limit(9 * MiB, 1), label: 'x' }, freed: { bytes: MiB, approximate: false } },
        { severity: 'warning', what: 'the snapshots with the label x use 1.0 MiB, more than W1' },
      ],
      [
        { limits: { holds: limit(9 * MiB) }, freed: { problem: 'vda: it is gone' } },
        {
          severity: 'warning',
          what: 'the space that the snapshots use cannot be measured: vda: it is gone',
        },
      ],
    ],
  },
  'too-deep': {
    silent: [
      { images: deep(3), snapshots: layers(3) },
      { images: deep(3), snapshots: layers(3), limits: { depth: limit(3) } },
      {
        images: deep(3),
        snapshots: layers(3).map((each) => ({ ...each, description: HELD })),
        limits: { depth: limit(0) },
      },
    ],
    loud: [
      [
        { images: deep(3), snapshots: layers(3), limits: { depth: limit(1) } },
        {
          severity: 'error',
          what: 'disk vda has a chain of 3 overlays, more than C1',
          command: 'kvmsnap delete centos7-1 s1 s2',
        },
      ],
      [{ images: deep(3), limits: { depth: limit(3, 2) } }, { severity: 'warning' }],
    ],
  },
};

describe.each(Object.entries(CASES))('%s', (rule, { silent, loud }) => {
  test.each(silent.map((given) => [given]))('is silent: %j', (given) => {
    expect(found(given).filter((finding) => finding.rule === rule)).toEqual([]);
  });

  test.each(loud)('%j', (given, expected) => {
    expect(found(given).filter((finding) => finding.rule === rule)).toEqual([
      expect.objectContaining(expected),
    ]);
  });
});

test('every rule has its cases', () => {
  expect(CHECK_RULES.map(({ id }) => id)).toEqual(Object.keys(CASES));
});

test('nothing is found where all is well', () => {
  expect(found({ snapshots: [snapshot('a'), snapshot('b', { parent: 'a' })], current: 'b' })).toEqual([]);
});
