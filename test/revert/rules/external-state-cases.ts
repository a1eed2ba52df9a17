// Cases of the rules about the state of external snapshots, and of what tells it.

import type { Snapshot } from '../../../src/model/snapshot.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { NOBODY } from '../../../src/sharing/image-users.ts';
import type { OverlayTarget, StateFile } from '../../../src/vm/external-state.ts';
import { disk, domain, seen, snapshot, TAKEN_AT } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';

const path = (name: string) => `/vm/vda.${name}`;

/** An external snapshot of that name over another one's overlay, taken so many seconds later than the first. */
const layer = (name: string, over: string, seconds = 0, changes: Partial<Snapshot> = {}) =>
  snapshot(name, {
    createdAtSeconds: TAKEN_AT + seconds,
    disks: [{ target: 'vda', location: 'external', source: path(name) }],
    definedDisks: [{ target: 'vda', source: path(over), driver: 'qcow2' }],
    ...changes,
  });

const marked = (name: string, over: string): Snapshot =>
  layer(name, over, 0, {
    disks: [{ target: 'vda', location: 'external', source: path(name), isMergeTarget: true }],
  });

/** Three external snapshots, each over the one before, and the VM on the last overlay. */
function facts(changes: Partial<RevertFacts> & { readonly to?: string } = {}): RevertFacts {
  const { to = 'e2', ...others } = changes;
  const snapshots = others.snapshots ?? [
    layer('e1', 'qcow2'),
    layer('e2', 'e1', 10, { parent: 'e1' }),
    layer('e3', 'e2', 20, { parent: 'e2' }),
  ];
  const target = snapshots.find(({ name }) => name === to);
  if (!target) throw new Error(`no ${to}`);
  const chain = [path('e3'), path('e2'), path('e1'), path('qcow2')].map((each) => ({ path: each }));
  const at = chain.findIndex((each) => each.path === target.definedDisks[0]?.source);
  const [top = {}, ...below] = chain.slice(at < 0 ? chain.length - 1 : at);
  return {
    domain: domain({ disks: [disk({ source: path('e3') })] }),
    snapshot: target,
    snapshots,
    current: 'e3',
    images: new Map([['vda', seen(top, ...below)]]),
    active: new Map([['vda', seen(chain[0], ...chain.slice(1))]]),
    memoryThere: null,
    users: NOBODY,
    daemonVersion: 12_008_000,
    states: [state()],
    ...others,
  };
}

/** The file of e2's state, of which nothing speaks against it. */
function state(changes: Partial<StateFile> = {}): StateFile {
  return {
    target: 'vda',
    path: path('e1'),
    isInUse: false,
    writtenAtSeconds: TAKEN_AT + 9.5,
    knownUntilSeconds: TAKEN_AT + 10,
    ...changes,
  };
}

const place = (changes: Partial<OverlayTarget> = {}): OverlayTarget => ({
  target: 'vda',
  path: '/iso/a.iso',
  isFile: true,
  directory: 'fine',
  ...changes,
});

const interrupted = [
  marked('e1', 'qcow2'),
  layer('e2', 'e1', 10, { parent: 'e1' }),
  layer('e3', 'e2', 20, { parent: 'e2' }),
];
const shutOff = domain({ disks: [disk({ source: path('e3') })] });

export const EXTERNAL_STATE_CASES: Readonly<Record<string, RuleCases<RevertFacts>>> = {
  'merge-interrupted': {
    severity: 'error',
    cases: [
      {
        says: 'the snapshot that libvirt marks keeps its own state',
        facts: facts({ snapshots: interrupted, to: 'e1' }),
        finds: [],
      },
      {
        says: 'the one after it has its state in an overlay of its own',
        facts: facts({ snapshots: interrupted, to: 'e3' }),
        finds: [],
      },
      {
        says: 'the one whose state the overlay was',
        facts: facts({ snapshots: interrupted }),
        finds: [
          {
            what: /deletion of e2 was interrupted, and \/vm\/vda\.e1/,
            command: 'kvmsnap delete centos7-1 e2',
          },
        ],
      },
      {
        says: '9.0 deletes it only while QEMU has the files open',
        facts: facts({ snapshots: interrupted, daemonVersion: 9_000_000 }),
        finds: [
          {
            what: /interrupted/,
            commands: [
              'virsh start --paused centos7-1',
              'kvmsnap delete centos7-1 e2',
              'virsh destroy centos7-1',
            ],
          },
        ],
      },
      {
        says: 'but the last one while it is off, too',
        facts: facts({
          to: 'e3',
          snapshots: [layer('e1', 'qcow2'), marked('e2', 'e1'), layer('e3', 'e2', 20)],
          daemonVersion: 9_000_000,
        }),
        finds: [{ what: /interrupted/, command: 'kvmsnap delete centos7-1 e3' }],
      },
      {
        says: 'a deletion under way',
        facts: facts({ snapshots: interrupted, domain: { ...shutOff, busy: true } }),
        finds: [{ what: /is deleting e2 now/ }],
      },
    ],
  },
  'state-in-use': {
    severity: 'error',
    cases: [
      { says: 'another file is in use', facts: facts(), finds: [] },
      {
        says: 'in use, and written since',
        facts: facts({ states: [state({ isInUse: true, writtenAtSeconds: TAKEN_AT + 10.5 })] }),
        finds: [
          {
            what: /\/vm\/vda\.e1, which contained the state of e2, is in use by the VM now/,
            command: 'kvmsnap delete --metadata centos7-1 e2',
          },
        ],
      },
      {
        says: 'in use, and nothing was written since',
        facts: facts({ states: [state({ isInUse: true })] }),
        finds: [],
      },
      {
        says: 'in use, and when it was written does not show',
        facts: facts({ states: [state({ isInUse: true, writtenAtSeconds: null })] }),
        finds: [{ what: /in use by the VM now/ }],
      },
      {
        says: 'an external snapshot was taken on it later',
        facts: facts({ snapshots: [layer('e1', 'qcow2'), layer('e2', 'e1', 10), layer('e4', 'e1', 30)] }),
        finds: [{ what: /in use again later: snapshot e4 was taken on top of it/ }],
      },
      {
        says: 'an internal snapshot was taken on it later',
        facts: facts({
          snapshots: [
            layer('e1', 'qcow2'),
            layer('e2', 'e1', 10),
            snapshot('i4', {
              createdAtSeconds: TAKEN_AT + 30,
              disks: [{ target: 'vda', location: 'internal', source: path('e1') }],
            }),
          ],
        }),
        finds: [{ what: /i4 was taken on top of it/ }],
      },
      {
        says: 'an internal one in it is older',
        facts: facts({
          snapshots: [
            layer('e1', 'qcow2'),
            layer('e2', 'e1', 10),
            snapshot('i2', {
              createdAtSeconds: TAKEN_AT + 5,
              disks: [{ target: 'vda', location: 'internal', source: path('e1') }],
            }),
          ],
        }),
        finds: [],
      },
    ],
  },
  'state-written': {
    severity: 'overridable',
    cases: [
      {
        says: 'a backing file of the state was written to',
        facts: facts({
          states: [state(), state({ path: path('qcow2'), isBelow: true, writtenAtSeconds: TAKEN_AT + 60 })],
        }),
        finds: [
          {
            hint: /If a deletion of e1 was interrupted, finish it: e2 is complete then/,
            commands: ['kvmsnap delete centos7-1 e1'],
            what: /vda\.qcow2, which contains a part of the disk content of snapshot e2, was written to later/,
          },
        ],
      },
      {
        says: 'a merge into a backing file was interrupted, and the overlay above still has it all',
        facts: facts({
          snapshots: interrupted,
          to: 'e3',
          states: [
            state({ path: path('e2') }),
            state({ path: path('e1'), isBelow: true, writtenAtSeconds: TAKEN_AT + 60 }),
          ],
        }),
        finds: [],
      },
      {
        says: 'all files were made anew, as by a move to another file system',
        facts: facts({
          states: [
            state({
              madeAtSeconds: TAKEN_AT + 60,
              placedUntilSeconds: TAKEN_AT + 12,
              isCopiedWithOverlay: true,
            }),
          ],
        }),
        finds: [],
      },
      { says: 'written before', facts: facts(), finds: [] },
      {
        says: 'it was made before, and the overlay has grown',
        facts: facts({
          states: [
            state({
              madeAtSeconds: TAKEN_AT - 99,
              placedUntilSeconds: TAKEN_AT + 10,
              diskBytes: { state: 8, overlay: 16 },
              damage: null,
            }),
          ],
        }),
        finds: [],
      },
      {
        says: 'another file with an old time',
        facts: facts({
          states: [state({ madeAtSeconds: TAKEN_AT + 13, placedUntilSeconds: TAKEN_AT + 10 })],
        }),
        finds: [{ what: /e2, is another file, which was made later \(2026-11-23T09:06:53Z\)\./ }],
      },
      {
        says: 'another file, larger than the overlay',
        facts: facts({ states: [state({ diskBytes: { state: 2 ** 24, overlay: 2 ** 23 } })] }),
        finds: [{ what: /is larger \(16 MiB\) than the overlay on top of it \(8 MiB\)/ }],
      },
      {
        says: 'cut off',
        facts: facts({ states: [state({ damage: 'it has data at offset 65536' })] }),
        finds: [{ what: /has lost a part of its content: it has data at offset 65536\./ }],
      },
      {
        says: 'libvirt accounts for it: it has merged into the file',
        facts: facts({
          states: [state({ writtenAtSeconds: TAKEN_AT + 99, knownUntilSeconds: TAKEN_AT + 99.1 })],
        }),
        finds: [],
      },
      {
        says: 'when does not show',
        facts: facts({ states: [state({ writtenAtSeconds: null })] }),
        finds: [],
      },
      {
        says: 'written since',
        facts: facts({ states: [state({ writtenAtSeconds: TAKEN_AT + 13 })] }),
        finds: [
          {
            what: /written to later \(2026-11-23T09:06:53Z\)/,
            hint: /--force/,
            commands: ['kvmsnap delete centos7-1 e2'],
          },
        ],
      },
      {
        says: 'more is known: a deletion was interrupted',
        facts: facts({ snapshots: interrupted, states: [state({ writtenAtSeconds: TAKEN_AT + 13 })] }),
        finds: [],
      },
      {
        says: 'more is known: it is in use',
        facts: facts({ states: [state({ isInUse: true, writtenAtSeconds: TAKEN_AT + 13 })] }),
        finds: [],
      },
    ],
  },
  'no-overlay-directory': {
    severity: 'error',
    cases: [
      { says: 'all writable', facts: facts({ overlayTargets: [place()] }), finds: [] },
      {
        says: 'libvirt lays one over the medium of a CD-ROM too',
        facts: facts({ overlayTargets: [place(), place({ target: 'hda', directory: 'read-only' })] }),
        finds: [{ what: /^disk hda: .* on top of \/iso\/a\.iso too, but its file system is read-only/ }],
      },
      {
        says: 'a device',
        facts: facts({ overlayTargets: [place({ isFile: false })] }),
        finds: [{ what: /but it is not a file: a running VM would stop, and its memory would be lost$/ }],
      },
      {
        says: 'an immutable directory',
        facts: facts({ overlayTargets: [place({ directory: 'immutable' })] }),
        finds: [{ what: /its directory is immutable/, command: 'chattr -i /iso' }],
      },
      {
        says: 'no room for one',
        facts: facts({ overlayTargets: [place({ freeBytes: 100_000 }), place({ freeBytes: 10_000_000 })] }),
        finds: [{ what: /its file system is full: a running VM would stop, and its memory would be lost$/ }],
      },
      {
        says: 'an older libvirtd lays none',
        facts: facts({ overlayTargets: [place({ isFile: false })], daemonVersion: 9_000_000 }),
        finds: [],
      },
    ],
  },
  'no-current': {
    severity: 'error',
    cases: [
      { says: 'there is one', facts: facts(), finds: [] },
      {
        says: 'an older libvirtd reverts nothing external',
        facts: facts({ current: null, daemonVersion: 9_000_000 }),
        finds: [],
      },
      {
        says: 'none, and the overlay in use tells which it has to be',
        facts: facts({ current: null }),
        finds: [{ what: /libvirtd crashes/, command: 'virsh snapshot-current centos7-1 --snapshotname e3' }],
      },
      {
        says: 'none, and the overlay of a revert tells it',
        facts: facts({
          current: null,
          domain: domain({ disks: [disk({ source: '/vm/vda.1795424900' })] }),
          snapshots: [
            layer('e1', 'qcow2'),
            layer('e2', 'e1', 10, { revertOverlays: ['/vm/vda.1795424900'] }),
          ],
        }),
        finds: [{ what: /libvirtd crashes/, command: 'virsh snapshot-current centos7-1 --snapshotname e2' }],
      },
      {
        says: 'none, and nothing tells it',
        facts: facts({ current: null, domain: domain() }),
        finds: [{ what: /libvirtd crashes/, hint: /snapshot-current centos7-1 --snapshotname NAME/ }],
      },
    ],
  },
  'removes-needed-file': {
    severity: 'error',
    cases: [
      { says: 'the last overlay', facts: facts(), finds: [] },
      {
        says: 'the one that was made the current one has children',
        facts: facts({ current: 'e1' }),
        finds: [
          {
            what: /would remove \/vm\/vda\.e1, which snapshot e2 needs/,
            command: 'virsh snapshot-current centos7-1 --snapshotname e3',
          },
        ],
      },
      {
        says: 'a backup comes first, and is internal',
        facts: facts({ current: 'e1', backup: true }),
        finds: [],
      },
      {
        says: 'it was reverted to: the overlay of that revert goes',
        facts: facts({
          current: 'e1',
          snapshots: [
            layer('e1', 'qcow2', 0, { revertOverlays: ['/vm/vda.1795424900'] }),
            layer('e2', 'e1', 10),
          ],
        }),
        finds: [],
      },
      {
        says: 'no snapshot keeps it, and the disk lies on it',
        facts: facts({
          current: 'x',
          snapshots: [
            layer('x', 'qcow2', 0, { disks: [{ target: 'vda', location: 'external', source: path('e2') }] }),
            layer('e2', 'e1', 10),
          ],
        }),
        finds: [{ what: /which disk vda of the VM needs/ }],
      },
    ],
  },
};
