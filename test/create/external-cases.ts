// Cases of the rules for external snapshots.

import { plannedFiles, planSnapshot } from '../../src/create/plan.ts';
import type { CreateFacts, TargetFile } from '../../src/create/rules/facts.ts';
import { type DiskSpec, INTERNAL_SPEC, type SnapshotSpec } from '../../src/model/snapshot-spec.ts';
import { NOBODY } from '../../src/sharing/image-users.ts';
import { disk, domain, MiB, seen, tag } from '../model.ts';
import type { RuleCases } from './rule-cases.ts';

const NOTHING_THERE: TargetFile = {
  holds: null,
  bytes: 0,
  directory: 'fine',
  freeBytes: 10_000 * MiB,
  backing: null,
};

/** Facts about an external snapshot for which all is well: a VM of one disk, and a libvirtd that can do it all. */
export function external(
  spec: Partial<SnapshotSpec> = { external: true },
  vm: Parameters<typeof domain>[0] = {},
  changes: Partial<CreateFacts> = {},
): CreateFacts {
  const it = domain(vm);
  const plan = planSnapshot(it, 's1', { ...INTERNAL_SPEC, ...spec });
  if ('problem' in plan) throw new Error(plan.problem);
  return {
    domain: it,
    images: new Map(it.disks.map(({ target }) => [target, seen()])),
    name: 's1',
    plan,
    mode: plan.mode,
    targetFiles: new Map(plannedFiles(plan).map((path) => [path, NOTHING_THERE])),
    agent: null,
    users: NOBODY,
    labelled: false,
    snapshotNames: [],
    daemonVersion: 11_003_000,
    blockJobs: [],
    freeBytes: 0,
    residentBytes: 300 * MiB,
    ...changes,
  };
}

/** The same with something at a path. */
const at = (facts: CreateFacts, path: string, place: Partial<TargetFile> | null): CreateFacts => ({
  ...facts,
  targetFiles: new Map(
    [...facts.targetFiles, [path, NOTHING_THERE] as const].flatMap(([known, was]) =>
      known !== path ? [[known, was] as const] : place ? [[known, { ...was, ...place }] as const] : [],
    ),
  ),
});

const overlays = (count: number) =>
  new Map([['vda', seen({}, ...Array.from({ length: count }, (_, i) => ({ path: `/vm/vda.${i}` })))]]);
const running = { state: 'running' };
const both = external({ external: true }, running);
const OVERLAY = '/vm/vda.s1';
const MEMORY = '/vm/centos7-1.s1.mem';
const vda = (changes: Partial<DiskSpec>): readonly DiskSpec[] => [
  { disk: 'vda', location: null, file: null, driver: null, storage: null, ...changes },
];
const reusingRunning = external({ diskOnly: true, reuse: true }, running);
const reusing = external({ diskOnly: true, reuse: true });
const onBlock = external({ diskOnly: true, disks: vda({ storage: 'block', file: '/dev/vg/o' }) });
const noFile = { disks: [disk({ storage: 'block', source: '/dev/vg/web' })] };
const network = { disks: [disk({ storage: 'network', source: null })] };
const named = vda({ file: '/vm/o' });
const encrypted = { images: new Map([['vda', seen({ encrypted: true })]]) };
/** Their images are of these names, the one in qcow2 and the other raw. */
const twoImages = (a: string, b: string) => ({
  disks: [disk({ source: `/vm/${a}.qcow2` }), disk({ target: 'vdb', source: `/vm/${b}.raw`, driver: 'raw' })],
});

const LUKS = { format: 'luks', names: [], mayName: false };

const overInternal = {
  images: new Map([['vda', seen({ tags: [tag('i1'), tag('i2')] })]]),
  snapshotNames: ['i1', 'i2'],
};

export const EXTERNAL_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'external-on-old-daemon': {
    severity: 'overridable',
    cases: [
      { says: '9.9', facts: external({ external: true }, {}, { daemonVersion: 9_009_000 }), finds: [] },
      {
        says: 'not known',
        facts: external({ external: true }, {}, { daemonVersion: null }),
        finds: [{ what: /^libvirtd does not tell its version, and before 9\.9 it cannot revert/ }],
      },
      {
        says: 'without metadata there is no revert anyway',
        facts: external({ external: true, noMetadata: true }, {}, { daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: '9.0 deletes, and does not revert',
        facts: external({ external: true }, {}, { daemonVersion: 9_000_000 }),
        finds: [{ what: /^this libvirtd \(before 9\.9\) cannot revert/, hint: /--force/ }],
      },
      {
        says: '7.0 does neither',
        facts: external({ external: true }, {}, { daemonVersion: 7_000_000 }),
        finds: [{ what: /neither revert.*nor delete/ }],
      },
    ],
  },
  'no-revert': {
    severity: 'overridable',
    cases: [
      {
        says: 'files of different names',
        facts: external({ diskOnly: true }, twoImages('a', 'b')),
        finds: [],
      },
      {
        says: 'an older one reverts nothing anyway',
        facts: external({ diskOnly: true }, twoImages('a', 'a'), { daemonVersion: 9_000_000 }),
        finds: [],
      },
      {
        says: 'names that differ after the last dot',
        facts: external({ diskOnly: true }, twoImages('a', 'a')),
        finds: [{ what: /images of disk vda, vdb differ only/, command: 'virsh edit centos7-1' }],
      },
      {
        says: 'a block device',
        facts: external({ diskOnly: true, disks: named }, noFile),
        finds: [{ what: /disk vda \(\/dev\/vg\/web\) is no file, and libvirt cannot revert/ }],
      },
      {
        says: 'disks on the network, which have no names',
        facts: external(
          { diskOnly: true },
          {
            ...running,
            disks: ['vda', 'vdb'].map((target) => disk({ target, storage: 'network', source: null })),
          },
        ),
        finds: [{ what: /disk vda/ }, { what: /disk vdb/ }],
      },
    ],
  },
  'over-internal': {
    severity: 'warning',
    cases: [
      { says: 'no snapshot in the image', facts: external(), finds: [] },
      {
        says: 'a tag that no snapshot of libvirt accounts for',
        facts: external({}, {}, { images: new Map([['vda', seen({ tags: [tag('i1')] })]]) }),
        finds: [],
      },
      {
        says: '7.0, which deletes no external one at all',
        facts: external({ external: true }, {}, { ...overInternal, daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: 'internal ones in the image',
        facts: external({ external: true }, {}, overInternal),
        finds: [
          { what: /internal snapshots \('i1', 'i2'\): libvirt deletes the new external one only after/ },
        ],
      },
    ],
  },
  'label-undeletable': {
    severity: 'error',
    cases: [
      {
        says: '9.0 deletes them',
        facts: external({ external: true }, {}, { labelled: true, daemonVersion: 9_000_000 }),
        finds: [],
      },
      {
        says: 'no label',
        facts: external({ external: true }, {}, { daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: '7.0, with a label',
        facts: external({ external: true }, {}, { labelled: true, daemonVersion: 7_000_000 }),
        finds: [{ what: /there to be pruned.*deletes no external/ }],
      },
    ],
  },
  'no-target-file': {
    severity: 'error',
    cases: [
      { says: 'files', facts: both, finds: [] },
      { says: 'named for a device', facts: external({ diskOnly: true, disks: named }, noFile), finds: [] },
      {
        says: 'a block device of a VM that is off',
        facts: external({ external: true }, noFile),
        finds: [{ what: /disk vda \(\/dev\/vg\/web\) is no file/, hint: /--diskspec vda,file=\// }],
      },
      {
        says: 'one of a running VM: neither overlay nor memory',
        facts: external({ external: true }, { ...running, ...noFile }),
        finds: [
          { what: /no place beside it for its overlay/ },
          { what: /for the memory/, hint: /--memspec/ },
        ],
      },
      {
        says: 'a disk on the network',
        facts: external({ diskOnly: true }, { ...running, ...network }),
        finds: [{ what: /disk vda \(without a path\)/ }],
      },
      {
        says: 'the memory of a VM without disks',
        facts: external({ external: true }, { ...running, disks: [] }),
        finds: [{ what: /for the memory/, hint: /--memspec/ }],
      },
    ],
  },
  'chain-too-deep': {
    severity: 'error',
    cases: [
      { says: 'room enough', facts: external({ diskOnly: true }, {}, { images: overlays(17) }), finds: [] },
      {
        says: 'another libvirt',
        facts: external({ diskOnly: true }, {}, { images: overlays(18), daemonVersion: 12_000_000 }),
        finds: [],
      },
      {
        says: 'too near to the limit',
        facts: external({ diskOnly: true }, {}, { images: overlays(18) }),
        finds: [
          {
            what: /^disk vda lies on 18 overlays, and .* starts no VM with more than 24 overlays$/,
            hint: /while the VM runs/,
            command: 'kvmsnap check centos7-1',
          },
        ],
      },
      {
        says: 'everywhere there is a limit',
        facts: external({ diskOnly: true }, {}, { images: overlays(180), daemonVersion: 12_000_000 }),
        finds: [{ what: /more than 199/ }],
      },
    ],
  },
  'same-file': {
    severity: 'error',
    cases: [
      { says: 'each its own', facts: both, finds: [] },
      {
        says: 'the memory in the overlay',
        facts: external({ memory: { location: null, file: '/vm/o' }, disks: named }, running),
        finds: [{ what: /^\/vm\/o would be the file of more than one part/ }],
      },
      {
        says: "libvirt's own names of two disks",
        facts: external(
          { diskOnly: true, namedBy: 'libvirt' },
          { disks: [disk({ source: '/vm/a.qcow2' }), disk({ target: 'vdb', source: '/vm/a.raw' })] },
        ),
        finds: [{ what: /^\/vm\/a\.s1 / }],
      },
    ],
  },
  'existing-file': {
    severity: 'error',
    cases: [
      { says: 'nothing there', facts: both, finds: [] },
      { says: 'a file to be reused', facts: at(reusing, OVERLAY, { holds: 'file' }), finds: [] },
      { says: 'a device', facts: at(onBlock, '/dev/vg/o', { holds: 'device' }), finds: [] },
      {
        says: 'an overlay',
        facts: at(both, OVERLAY, { holds: 'file' }),
        finds: [{ what: /^\/vm\/vda\.s1 exists already.*since another snapshot/, hint: /another name/ }],
      },
      {
        says: 'the memory of another snapshot',
        facts: at(both, MEMORY, { holds: 'file', bytes: 9 }),
        finds: [{ what: /centos7-1\.s1\.mem exists already.*memory of another snapshot/ }],
      },
      {
        says: 'the memory, where overlays are reused',
        facts: at(external({ external: true, reuse: true }, running), MEMORY, { holds: 'file' }),
        finds: [{ what: /\.mem exists already/ }],
      },
    ],
  },
  'unseen-file': {
    severity: 'overridable',
    cases: [
      { says: 'looked at', facts: both, finds: [] },
      { says: 'an overlay, which libvirt itself spares', facts: at(both, OVERLAY, null), finds: [] },
      {
        says: 'the memory, on another host',
        facts: at(both, MEMORY, null),
        finds: [{ what: /cannot be seen from here/, hint: /--force/ }],
      },
    ],
  },
  'device-overwritten': {
    severity: 'overridable',
    cases: [
      { says: 'a file', facts: both, finds: [] },
      { says: 'a device', facts: onBlock, finds: [{ what: /vda.*overwrites what is on \/dev\/vg\/o/ }] },
      {
        says: 'a device that is reused',
        facts: external({
          diskOnly: true,
          reuse: true,
          disks: vda({ storage: 'block', file: '/dev/vg/o' }),
        }),
        finds: [],
      },
    ],
  },
  'reused-file': {
    severity: 'overridable',
    cases: [
      { says: 'made anew', facts: both, finds: [] },
      {
        says: 'made for this image',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: '/vm/vda.qcow2' }),
        finds: [],
      },
      {
        says: 'not there',
        facts: reusing,
        finds: [
          {
            what: /is not there/,
            command: 'qemu-img create -f qcow2 -F qcow2 -b /vm/vda.qcow2 /vm/vda.s1',
          },
        ],
      },
      {
        says: 'made for another image',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: '/vm/other' }),
        finds: [{ what: /laid over \/vm\/other and not over \/vm\/vda\.qcow2/ }],
      },
      {
        says: 'over nothing, off',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: null }),
        finds: [{ what: /laid over nothing .* the guest would see another disk/ }],
      },
      {
        says: 'over nothing, running: QEMU is told what it lies over',
        facts: at(reusingRunning, OVERLAY, { holds: 'file', backing: null }),
        finds: [],
      },
      {
        says: 'made for another image, running',
        facts: at(reusingRunning, OVERLAY, { holds: 'file', backing: '/vm/other' }),
        finds: [{ what: /names \/vm\/other .* every other program will see another disk/ }],
      },
    ],
  },
  'reused-without-backing': {
    severity: 'warning',
    cases: [
      {
        says: 'off: refused',
        facts: at(reusing, OVERLAY, { holds: 'file', backing: null }),
        finds: [],
      },
      { says: 'not there', facts: reusingRunning, finds: [] },
      {
        says: 'running',
        facts: at(reusingRunning, OVERLAY, { holds: 'file', backing: null }),
        finds: [{ what: /names no backing file\. libvirt uses it over \/vm\/vda\.qcow2/ }],
      },
    ],
  },
  directory: {
    severity: 'error',
    cases: [
      { says: 'there and writable', facts: both, finds: [] },
      {
        says: 'missing, said once',
        facts: at(at(both, OVERLAY, { directory: 'missing' }), MEMORY, { directory: 'missing' }),
        finds: [{ what: /directory \/vm does not exist/, command: 'mkdir -p /vm' }],
      },
      {
        says: 'read-only',
        facts: at(both, OVERLAY, { directory: 'read-only' }),
        finds: [{ what: /\/vm is read-only/, hint: /--diskspec/ }],
      },
      {
        says: 'immutable',
        facts: at(both, OVERLAY, { directory: 'immutable' }),
        finds: [{ what: /the directory \/vm is immutable/ }],
      },
    ],
  },
  'file-name-too-long': {
    severity: 'error',
    cases: [
      {
        says: '255 bytes',
        facts: external({ external: true }, { disks: [disk({ source: `/vm/${'盘'.repeat(84)}` })] }),
        finds: [],
      },
      {
        says: '258 bytes',
        facts: external({ external: true }, { disks: [disk({ source: `/vm/${'盘'.repeat(85)}` })] }),
        finds: [{ what: /of 258 bytes, and the limit is 255/ }],
      },
    ],
  },
  'network-overlay': {
    severity: 'error',
    cases: [
      { says: 'a file', facts: external(), finds: [] },
      {
        says: 'of a running VM',
        facts: external({ diskOnly: true, disks: named }, { ...running, ...network }),
        finds: [],
      },
      {
        says: 'of a VM that is off',
        facts: external({ diskOnly: true, disks: named }, network),
        finds: [{ what: /disk vda is on the network/, command: 'virsh start centos7-1' }],
      },
    ],
  },
  'encrypted-base': {
    severity: 'error',
    cases: [
      { says: 'no encryption', facts: external(), finds: [] },
      { says: 'of a running VM', facts: external({ external: true }, running, encrypted), finds: [] },
      {
        says: 'of one that an older libvirtd runs',
        facts: external({ external: true }, running, { ...encrypted, daemonVersion: 7_000_000 }),
        finds: [{ what: /vda.*encrypted, and this libvirtd \(before 9\.0\)/ }],
      },
      {
        says: 'of a VM that is off',
        facts: external({ diskOnly: true }, {}, encrypted),
        finds: [{ what: /vda.*cannot be started any more/, command: 'virsh start centos7-1' }],
      },
      {
        says: 'a raw disk that the guest encrypts, which libvirt takes for the same',
        facts: external(
          { diskOnly: true },
          {},
          { images: new Map([['vda', seen({ format: 'raw', looksLike: LUKS })]]) },
        ),
        finds: [
          {
            what: /vda.*looks like luks \(the guest encrypts it\), and.*cannot be started any more/,
            command: 'virsh start centos7-1',
          },
        ],
      },
      {
        says: 'below another overlay',
        facts: external(
          { diskOnly: true },
          {},
          { images: new Map([['vda', seen({}, { encrypted: true })]]) },
        ),
        finds: [{ what: /cannot be started any more/ }],
      },
    ],
  },
  'memory-of-off-vm': {
    severity: 'error',
    cases: [
      { says: '--external takes what there is', facts: external(), finds: [] },
      { says: '--live, running', facts: external({ external: true, live: true }, running), finds: [] },
      {
        says: '--memspec, off',
        facts: external({ memory: { location: null, file: '/vm/m' } }),
        finds: [{ what: /is off/, hint: /leave --memspec out/ }],
      },
      {
        says: '--live, off',
        facts: external({ external: true, live: true }),
        finds: [{ what: /no memory/, hint: /leave --live out/ }],
      },
    ],
  },
  quiesce: {
    severity: 'error',
    cases: [
      { says: 'not wanted', facts: external(), finds: [] },
      {
        says: 'the agent answers',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'answers' }),
        finds: [],
      },
      {
        says: 'off',
        facts: external({ diskOnly: true, quiesce: true }),
        finds: [{ what: /is off/ }],
      },
      {
        says: 'no channel',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'no-channel' }),
        finds: [{ what: /no channel/, hint: /org\.qemu\.guest_agent\.0/ }],
      },
    ],
  },
  'guest-agent': {
    severity: 'error',
    cases: [
      { says: 'not wanted', facts: external(), finds: [] },
      {
        says: 'it answers',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'answers' }),
        finds: [],
      },
      {
        says: 'not connected',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'not-connected' }),
        finds: [{ what: /no guest agent is connected/ }],
      },
      {
        says: 'no answer',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'silent' }),
        finds: [{ what: /gives no answer/ }],
      },
      {
        says: 'frozen by somebody else',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'frozen' }),
        finds: [{ what: /held still already/, command: 'virsh domfsthaw centos7-1' }],
      },
    ],
  },
  'saved-beneath': {
    severity: 'error',
    cases: [
      { says: 'no managed save', facts: external(), finds: [] },
      {
        says: 'a managed save',
        facts: external({ external: true }, { managedSave: true }),
        finds: [{ what: /beneath the overlays/, command: 'virsh start centos7-1' }],
      },
    ],
  },
  'nvram-beside': {
    severity: 'warning',
    cases: [
      { says: 'BIOS', facts: external(), finds: [] },
      {
        says: 'UEFI',
        facts: external({ external: true }, { pflash: { nvramFormat: 'qcow2', nvramPath: null } }),
        finds: [{ what: /NVRAM.*will NOT be part/ }],
      },
    ],
  },
  'left-out': {
    severity: 'warning',
    cases: [
      { says: 'every disk', facts: external(), finds: [] },
      {
        says: 'no disk at all, which another rule tells',
        facts: external({ external: true }, { disks: [disk({ snapshot: 'no' })] }),
        finds: [],
      },
      {
        says: 'one not',
        facts: external({ external: true }, { disks: [disk(), disk({ target: 'vdb', snapshot: 'no' })] }),
        finds: [{ what: /^disk vdb is left out/ }],
      },
    ],
  },
  'inside-beneath': {
    severity: 'warning',
    cases: [
      { says: 'nothing inside', facts: both, finds: [] },
      {
        says: 'what libvirt does not know is not reverted to',
        facts: external({ external: true }, {}, { images: new Map([['vda', seen({ tags: [tag('x')] })]]) }),
        finds: [],
      },
      {
        says: 'three that it knows',
        facts: external(
          { external: true },
          {},
          {
            images: new Map([['vda', seen({ tags: ['a', 'b', 'c'].map((name) => tag(name)) })]]),
            snapshotNames: ['a', 'b', 'c'],
          },
        ),
        finds: [{ what: /^disk vda: 'a' and 2 more stay inside \/vm\/vda\.qcow2, beneath the overlay/ }],
      },
    ],
  },
  'space-for-memory-file': {
    severity: 'overridable',
    cases: [
      { says: 'just enough', facts: at(both, MEMORY, { freeBytes: 364 * MiB }), finds: [] },
      { says: 'not known', facts: at(both, MEMORY, { freeBytes: null }), finds: [] },
      {
        says: 'one byte short',
        facts: at(both, MEMORY, { freeBytes: 364 * MiB - 1 }),
        finds: [{ what: /up to 364 MiB.*file system of \/vm\/centos7-1\.s1\.mem/, hint: /--disk-only/ }],
      },
      {
        says: 'QEMU does not tell what it holds',
        facts: { ...at(both, MEMORY, { freeBytes: 400 * MiB }), residentBytes: null },
        finds: [{ what: /up to 576 MiB/ }],
      },
    ],
  },
  'space-for-overlay': {
    severity: 'overridable',
    cases: [
      { says: 'some', facts: at(both, OVERLAY, { freeBytes: MiB }), finds: [] },
      { says: 'not known', facts: at(both, OVERLAY, { freeBytes: null }), finds: [] },
      { says: 'a device', facts: at(onBlock, '/dev/vg/o', { freeBytes: 0 }), finds: [] },
      {
        says: 'none',
        facts: at(both, OVERLAY, { freeBytes: MiB - 1 }),
        finds: [{ what: /disk vda: the file system of \/vm\/vda\.s1 has 1 MiB free/ }],
      },
    ],
  },
};
