import type { DiskImage } from '../../../src/model/image.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { unseen } from '../../create/rules/creating.ts';
import { seen, snapshot, tag } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { EXTERNAL, reverting } from './reverting.ts';

export const MEMORY = { location: 'internal', file: null };

/** A snapshot '7', in this image. */
const numbered = (image: DiskImage) => ({
  snapshot: snapshot('7', {
    disks: [{ target: 'vda', location: 'internal', source: '/vm/vda.qcow2' }],
  }),
  images: new Map([['vda', image]]),
});

/** Of a definition that names a volume. */
const inVolume = (problem?: 'inactive' | 'no-pool' | 'no-volume', changes: Partial<Snapshot> = {}) =>
  snapshot('s1', {
    definedDisks: [
      {
        target: 'vda',
        source: '/vm/vda.qcow2',
        driver: 'qcow2',
        pool: { name: 'images', volume: 'vda.qcow2', ...(problem && { problem }) },
      },
    ],
    ...changes,
  });

const IN_FIRST_ONLY = new Map([
  ['vda', seen({ path: '/vm/vda', tags: [tag('s1')] })],
  ['vdb', seen({ path: '/vm/vdb', tags: [tag('s2')] })],
]);

/** The snapshot is in an image that the VM uses, and libvirt looks into another. */
export const elsewhere = snapshot('s1', {
  disks: [{ target: 'vda', location: 'internal', source: '/old/vda' }],
});

const gone = { kind: 'broken', why: 'missing', path: '/old/vda', detail: 'no such file' } as const;

export const INTERNAL_CASES: Readonly<Record<string, RuleCases<RevertFacts>>> = {
  'volume-not-found': {
    severity: 'error',
    cases: [
      { says: 'a volume that is found', facts: reverting({ snapshot: inVolume() }), finds: [] },
      {
        says: 'a pool that is not active',
        facts: reverting({ snapshot: inVolume('inactive') }),
        finds: [{ what: /vda.qcow2 of the storage pool images/, command: 'virsh pool-start images' }],
      },
      {
        says: 'no such volume',
        facts: reverting({ snapshot: inVolume('no-volume') }),
        finds: [{ what: /does not know this volume/, command: 'virsh pool-refresh images' }],
      },
    ],
  },
  'volume-on-old-daemon': {
    severity: 'error',
    cases: [
      { says: 'not of a file', facts: reverting(), finds: [] },
      {
        says: 'not from 9.0 on',
        facts: reverting({ snapshot: inVolume(), daemonVersion: 9_000_000 }),
        finds: [],
      },
      {
        says: 'not with memory, which QEMU itself loads',
        facts: reverting({
          snapshot: inVolume(undefined, { memory: { location: 'internal', file: null } }),
          daemonVersion: 7_000_000,
        }),
        finds: [],
      },
      {
        says: 'without memory before 9.0',
        facts: reverting({ snapshot: inVolume(), daemonVersion: 7_000_000 }),
        finds: [{ what: /disk vda is a volume, and this libvirtd \(before 9.0\) cannot revert/ }],
      },
    ],
  },
  moved: {
    severity: 'error',
    cases: [
      { says: 'not where the image is in use', facts: reverting(), finds: [] },
      {
        says: 'not where no image in use has it',
        facts: reverting({
          snapshot: elsewhere,
          images: new Map([['vda', gone]]),
          active: new Map([['vda', seen({ tags: [] })]]),
        }),
        finds: [],
      },
      {
        says: 'where the image in use has it, and the old path has none',
        facts: reverting({ snapshot: elsewhere, images: new Map([['vda', gone]]) }),
        finds: [
          {
            what: /libvirt looks for s1 in \/old\/vda, but it is in \/vm\/vda.qcow2, .*moved or renamed/,
            command: 'kvmsnap check --fix centos7-1',
          },
        ],
      },
    ],
  },
  'missing-tag': {
    severity: 'error',
    cases: [
      { says: 'exactly one', facts: reverting(), finds: [] },
      {
        says: 'an image out of reach',
        facts: reverting({ images: new Map([['vda', unseen('qcow2')]]) }),
        finds: [],
      },
      {
        says: 'an external disk',
        facts: reverting({ snapshot: snapshot('s1', { disks: [EXTERNAL] }), images: new Map() }),
        finds: [],
      },
      {
        says: 'none in the second disk',
        facts: reverting({
          snapshot: snapshot('s1', {
            disks: ['vda', 'vdb'].map((target) => ({
              target,
              location: 'internal',
              source: `/vm/${target}`,
            })),
          }),
          images: IN_FIRST_ONLY,
          active: IN_FIRST_ONLY,
        }),
        finds: [
          {
            what: /disk vdb \(\/vm\/vdb\) does not contain snapshot s1/,
            command: 'kvmsnap delete centos7-1 s1',
          },
        ],
      },
      {
        says: 'two of one name',
        facts: reverting({ images: new Map([['vda', seen({ tags: [tag('s1'), tag('s1', { id: '4' })] })]]) }),
        finds: [
          {
            what: /contains 2 snapshots named s1 \(ids 1, 4\)/,
            hint: /older one/,
            command: 'qemu-img snapshot -d s1 --image-opts driver=qcow2,file.filename=/vm/vda.qcow2',
          },
        ],
      },
      {
        says: 'the image is gone',
        facts: reverting({
          images: new Map([['vda', { kind: 'broken', why: 'missing', path: '/vm/vda.qcow2', detail: '' }]]),
        }),
        finds: [{ what: /disk vda: \/vm\/vda\.qcow2 is missing/ }],
      },
      {
        says: 'the image cannot be read',
        facts: reverting({
          images: new Map([
            ['vda', { kind: 'broken', why: 'unreadable', path: '/vm/vda.qcow2', detail: 'bad magic' }],
          ]),
        }),
        finds: [{ what: /disk vda: \/vm\/vda\.qcow2 is not readable as an image \(bad magic\)/ }],
      },
    ],
  },
  'name-is-an-id': {
    severity: 'error',
    cases: [
      { says: 'another id', facts: reverting(), finds: [] },
      {
        says: 'the id of another',
        facts: reverting({
          snapshot: snapshot('2', { disks: [{ target: 'vda', location: 'internal', source: '/vm/my a' }] }),
          images: new Map([['vda', seen({ tags: [tag('s1', { id: '2' }), tag('2', { id: '3' })] })]]),
        }),
        finds: [
          {
            what: /disk vda: in \/vm\/my a, snapshot s1 has the id 2/,
            hint: /delete s1/,
            command: "qemu-img convert -U -l snapshot.name=2 -f qcow2 -O qcow2 '/vm/my a' '/vm/my a.2.copy'",
          },
        ],
      },
    ],
  },
  'name-may-be-an-id': {
    severity: 'warning',
    cases: [
      {
        says: 'an image that was looked at',
        facts: reverting(numbered(seen({ tags: [tag('7')] }))),
        finds: [],
      },
      {
        says: 'an image out of reach',
        facts: reverting(numbered(unseen('qcow2'))),
        finds: [{ what: /^disk vda was not inspected, and 7 is a number/ }],
      },
      {
        says: 'an image out of reach, and a name with a letter',
        facts: reverting({ images: new Map([['vda', unseen('qcow2')]]) }),
        finds: [],
      },
    ],
  },
  'missing-memory': {
    severity: 'error',
    cases: [
      { says: 'taken of a VM that was off', facts: reverting(), finds: [] },
      {
        says: 'in the image',
        facts: reverting({
          snapshot: snapshot('s1', { memory: MEMORY }),
          images: new Map([['vda', seen({ tags: [tag('s1', { vmStateBytes: 1 })] })]]),
        }),
        finds: [],
      },
      {
        says: 'in no image',
        facts: reverting({ snapshot: snapshot('s1', { memory: MEMORY }) }),
        finds: [{ what: /s1 was taken of a running VM, but no disk contains its memory/ }],
      },
      {
        says: 'perhaps in an image out of reach',
        facts: reverting({
          snapshot: snapshot('s1', { memory: MEMORY }),
          images: new Map([['vda', unseen('qcow2')]]),
        }),
        finds: [],
      },
    ],
  },
};
