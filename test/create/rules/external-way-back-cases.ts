import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, seen, tag } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external, named, noFile, running } from './external-facts.ts';

/** Their images are of these names, the one in qcow2 and the other raw. */
const twoImages = (a: string, b: string) => ({
  disks: [disk({ source: `/vm/${a}.qcow2` }), disk({ target: 'vdb', source: `/vm/${b}.raw`, driver: 'raw' })],
});

/** The first disk is a volume with this path. */
const volumeAt = (source: string) => ({
  ...running,
  disks: [disk({ storage: 'volume', pool: { name: 'p', volume: 'a' }, source })],
});

const overInternal = {
  images: new Map([['vda', seen({ tags: [tag('i1'), tag('i2')] })]]),
  snapshotNames: ['i1', 'i2'],
};

export const WAY_BACK_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'external-on-old-daemon': {
    severity: 'overridable',
    cases: [
      { says: '9.9', facts: external({ external: true }, {}, { daemonVersion: 9_009_000 }), finds: [] },
      {
        says: 'not known',
        facts: external({ external: true }, {}, { daemonVersion: null }),
        finds: [{ what: /^libvirtd does not tell its version, and libvirt before 9\.9 cannot revert/ }],
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
        finds: [{ what: /image names of disks vda, vdb differ only/, command: 'virsh edit centos7-1' }],
      },
      {
        says: 'a block device',
        facts: external({ diskOnly: true, disks: named }, noFile),
        finds: [{ what: /disk vda \(\/dev\/vg\/web\) is not a file, and libvirt cannot revert/ }],
      },
      {
        says: 'a volume, which could be named as a file',
        facts: external({ diskOnly: true, disks: named }, volumeAt('/pool/a')),
        finds: [
          {
            what: /disk vda \(\/pool\/a\) is a volume of a storage pool, and libvirt cannot revert/,
            hint: /make it a <disk type='file'> with \/pool\/a as its file/,
            command: 'virsh edit centos7-1',
          },
        ],
      },
      {
        says: 'a logical volume of a pool',
        facts: external({ diskOnly: true, disks: named }, volumeAt('/dev/vg/a')),
        finds: [{ what: /is a volume of a storage pool/, hint: /use --force/ }],
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
          { what: /internal snapshots \(i1, i2\); libvirt can delete the new external snapshot only after/ },
        ],
      },
    ],
  },
  'label-undeletable': {
    severity: 'error',
    cases: [
      {
        says: '9.0 deletes them',
        facts: external({ external: true }, {}, { labeled: true, daemonVersion: 9_000_000 }),
        finds: [],
      },
      {
        says: 'no label',
        facts: external({ external: true }, {}, { daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: '7.0, with a label',
        facts: external({ external: true }, {}, { labeled: true, daemonVersion: 7_000_000 }),
        finds: [{ what: /meant to be pruned.*cannot delete external/ }],
      },
    ],
  },
};
