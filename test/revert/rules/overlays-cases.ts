import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { NEW_DAEMON } from '../../create/rules/creating.ts';
import { disk, domain, seen, snapshot, tag } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { layer, onOverlay, reverting } from './reverting.ts';

/** Back to e1, on whose overlay the VM is, which holds these tags. */
const backToE1 = (names: readonly string[]) =>
  reverting({
    domain: domain({ disks: [disk({ source: '/vm/vda.e1' })] }),
    snapshot: layer('e1', 'qcow2'),
    snapshots: [layer('e1', 'qcow2')],
    current: 'e1',
    images: new Map([['vda', seen()]]),
    active: new Map([['vda', seen({ path: '/vm/vda.e1', tags: names.map((name) => tag(name)) }, {})]]),
    daemonVersion: NEW_DAEMON,
  });

/** A snapshot of that name, in an image whose highest id is this. */
function calledById(name: string, highest: string) {
  const image = seen({ tags: [tag(name, { id: '1' }), tag('later', { id: highest })] });
  const disks = [{ target: 'vda', location: 'internal' as const, source: '/vm/vda.qcow2' }];
  return {
    snapshot: snapshot(name, { disks }),
    images: new Map([['vda', image]]),
    active: new Map([['vda', image]]),
  };
}

export const OVERLAY_CASES: Readonly<Record<string, RuleCases<RevertFacts>>> = {
  'abandoned-overlay': {
    severity: 'overridable',
    cases: [
      { says: 'the image that holds the snapshot is in use', facts: reverting(), finds: [] },
      {
        says: 'an overlay is in use',
        facts: reverting({ domain: domain({ disks: [disk({ source: '/vm/vda.overlay' })] }) }),
        finds: [{ what: /now uses \/vm\/vda\.overlay.* is in \/vm\/vda\.qcow2/, hint: /--force/ }],
      },
      {
        says: 'the disk is no longer part of the VM',
        facts: reverting({ domain: domain({ disks: [disk({ target: 'vdb' })] }) }),
        finds: [],
      },
      {
        says: 'where the snapshot is, is not known',
        facts: reverting({
          snapshot: snapshot('s1', { disks: [{ target: 'vda', location: 'internal', source: null }] }),
        }),
        finds: [],
      },
      {
        says: 'with snapshots that lie on the image',
        facts: reverting({
          domain: domain({ disks: [disk({ source: '/vm/vda.e3' })] }),
          snapshots: [snapshot('s1'), layer('e2', 'qcow2'), layer('e3', 'e2'), layer('other', 'elsewhere')],
        }),
        finds: [{ what: /makes the snapshots on top of \/vm\/vda\.qcow2 unusable: e2, e3$/ }],
      },
    ],
  },
  'backup-in-overlay': {
    severity: 'error',
    cases: [
      { says: 'no backup', facts: reverting({ domain: onOverlay }), finds: [] },
      { says: 'no overlay', facts: reverting({ backup: true }), finds: [] },
      {
        says: 'a backup in an overlay over what is reverted',
        facts: reverting({ domain: onOverlay, backup: true }),
        finds: [
          {
            what: /the backup would be in \/vm\/vda\.e2, but the revert changes its backing file \/vm\/vda\.qcow2/,
          },
        ],
      },
    ],
  },
  'backup-takes-the-id': {
    severity: 'error',
    cases: [
      { says: 'another name', facts: reverting({ backup: true, ...calledById('5', '3') }), finds: [] },
      { says: 'no backup', facts: reverting(calledById('4', '3')), finds: [] },
      {
        says: 'the id that the backup would get',
        facts: reverting({ backup: true, ...calledById('4', '3') }),
        finds: [
          {
            what: /disk vda: .* the backup would get the id 4\. .* instead of 4$/,
            hint: /without --backup/,
            commands: [
              'kvmsnap create-as centos7-1 id-4',
              'kvmsnap create-as centos7-1 before-4',
              'kvmsnap delete centos7-1 id-4',
            ],
          },
        ],
      },
    ],
  },
  'tags-in-overlay': {
    severity: 'overridable',
    cases: [
      { says: 'none', facts: backToE1([]), finds: [] },
      {
        says: 'some',
        facts: backToE1(['i2']),
        finds: [{ what: /\/vm\/vda\.e1.* contains the internal snapshot i2/ }],
      },
      {
        says: 'where libvirt leaves the overlay, the current snapshot being internal',
        facts: { ...backToE1(['i2']), snapshots: [snapshot('i2')], current: 'i2' },
        finds: [],
      },
    ],
  },
  'dirty-bitmaps': {
    severity: 'error',
    cases: [
      { says: 'none', facts: reverting(), finds: [] },
      {
        says: 'one, and no checkpoint',
        facts: reverting({ images: new Map([['vda', seen({ tags: [tag('s1')], bitmaps: ['b 0'] })]]) }),
        finds: [
          {
            what: /dirty bitmap 'b 0'.*would be lost/,
            command: "qemu-img bitmap --remove -f qcow2 /vm/vda.qcow2 'b 0'",
          },
        ],
      },
    ],
  },
};
