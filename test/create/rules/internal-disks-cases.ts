import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, domain, seen } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { creating, creatingOn, readOnly, running, unseen } from './creating.ts';

/** Two disks, the image of one encrypted. */
export const encrypted = (target: string, state = 'shutoff'): CreateFacts =>
  creating({
    domain: domain({ state, disks: [disk(), disk({ target: 'vdb' })] }),
    images: new Map(['vda', 'vdb'].map((each) => [each, seen({ encrypted: each === target })])),
  });

export const INTERNAL_DISK_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'external-by-default': {
    severity: 'error',
    cases: [
      { says: 'no word in the XML', facts: creating(), finds: [] },
      { says: "snapshot='internal'", facts: creatingOn({ snapshot: 'internal' }), finds: [] },
      { says: 'on a cdrom', facts: creatingOn({ device: 'cdrom', snapshot: 'external' }), finds: [] },
      {
        says: "snapshot='external'",
        facts: creatingOn({ snapshot: 'external' }),
        finds: [{ what: /disk vda.*external/, command: 'virsh edit centos7-1' }],
      },
    ],
  },
  'excluded-disk': {
    severity: 'error',
    cases: [
      { says: 'no word in the XML', facts: creating(), finds: [] },
      { says: 'on a read-only disk', facts: creatingOn({ readonly: true, snapshot: 'no' }), finds: [] },
      {
        says: "snapshot='no'",
        facts: creatingOn({ snapshot: 'no' }),
        finds: [{ what: /disk vda.*snapshot='no'/, hint: /<readonly\/>/, command: 'virsh edit centos7-1' }],
      },
      {
        says: "snapshot='manual'",
        facts: creatingOn({ snapshot: 'manual' }),
        finds: [{ what: /snapshot='manual'/, command: 'virsh edit centos7-1' }],
      },
    ],
  },
  'corrupt-image': {
    severity: 'error',
    cases: [
      { says: 'a sound image', facts: creating(), finds: [] },
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'marked corrupt',
        facts: creatingOn({}, seen({ corrupt: true })),
        finds: [
          {
            what: /corrupt/,
            hint: /from a backup/,
            command: 'qemu-img convert -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.copy',
          },
        ],
      },
    ],
  },
  'refcounts-too-low': {
    severity: 'error',
    cases: [
      { says: 'nobody has looked', facts: creating(), finds: [] },
      {
        says: 'a sound image',
        facts: creating({ undercounted: new Map([['/vm/vda.qcow2', 0]]) }),
        finds: [],
      },
      {
        says: 'data that are counted as free',
        facts: creating({ undercounted: new Map([['/vm/vda.qcow2', 2]]) }),
        finds: [
          {
            what: /vda.*damaged: 2 clusters are in use, but the image counts them as free, or as used less often,/,
            hint: /from a backup/,
            command: 'qemu-img convert -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.copy',
          },
        ],
      },
    ],
  },
  'image-cannot-snapshot': {
    severity: 'error',
    cases: [
      { says: 'a sound image', facts: creating(), finds: [] },
      {
        says: 'a version 2 image, which has no such marks',
        facts: creatingOn({}, seen({ refcountBits: null })),
        finds: [],
      },
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'data in another file',
        facts: creatingOn({}, seen({ dataFile: '/vm/data.raw' })),
        finds: [
          {
            what: /keeps its data in \/vm\/data\.raw/,
            commands: [
              'qemu-img convert -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
              'virsh edit centos7-1',
            ],
          },
        ],
      },
      {
        says: 'refcounts of one bit',
        facts: creatingOn({}, seen({ refcountBits: 1 })),
        finds: [
          { what: /refcount_bits=1/, command: 'qemu-img amend -f qcow2 -o refcount_bits=16 /vm/vda.qcow2' },
        ],
      },
    ],
  },
  'encrypted-image': {
    severity: 'error',
    cases: [
      { says: 'a plain image', facts: creating(), finds: [] },
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'the only one, the VM off',
        facts: encrypted('vda'),
        finds: [{ what: /does not pass the key to qemu-img/, hint: /copy the image/ }],
      },
      {
        says: 'the only one, the VM running: QEMU would crash',
        facts: encrypted('vda', 'running'),
        finds: [{ what: /disk vda .*the VM would stop, and its memory would be lost/, hint: /first disk/ }],
      },
      {
        says: 'the second one, the VM off',
        facts: encrypted('vdb'),
        finds: [{ what: /disk vdb/, hint: /start the VM first/, command: 'virsh start centos7-1' }],
      },
      {
        says: 'the second one, the VM running: QEMU has the key',
        facts: encrypted('vdb', 'running'),
        finds: [],
      },
    ],
  },
  'network-disk': {
    severity: 'error',
    cases: [
      { says: 'a file', facts: creating(), finds: [] },
      {
        says: 'running',
        facts: creating({ domain: running({ disks: [disk({ storage: 'network', source: null })] }) }),
        finds: [],
      },
      {
        says: 'off',
        facts: creatingOn({ storage: 'network', source: null }, unseen('qcow2')),
        finds: [{ what: /disk vda is on the network/, command: 'virsh start centos7-1' }],
      },
    ],
  },
  'read-only-disk-refused': {
    severity: 'overridable',
    cases: [
      { says: 'raw, on libvirt that leaves it out', facts: creating({ domain: readOnly('raw') }), finds: [] },
      {
        says: 'raw, on an older one',
        facts: creating({ domain: readOnly('raw'), daemonVersion: 7_000_000 }),
        finds: [{ what: /disk vdb is raw/, hint: /--force/, command: 'virsh start centos7-1' }],
      },
      {
        says: 'raw, and the VM runs',
        facts: creating({ domain: { ...readOnly('raw'), state: 'running' }, daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: 'qcow2',
        facts: creating({ domain: readOnly('qcow2'), daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: 'on a version that nobody knows',
        facts: creating({ domain: readOnly('raw'), daemonVersion: null }),
        finds: [
          { what: /libvirtd does not tell its version, and libvirt before 9\.0 may refuse a snapshot/ },
        ],
      },
    ],
  },
};
