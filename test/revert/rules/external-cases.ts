import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { NEW_DAEMON } from '../../create/rules/creating.ts';
import { snapshot } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { broken, EXTERNAL, layer, reverting } from './reverting.ts';

export const EXTERNAL_CASES: Readonly<Record<string, RuleCases<RevertFacts>>> = {
  'external-on-old-daemon': {
    severity: 'error',
    cases: [
      { says: 'internal', facts: reverting(), finds: [] },
      {
        says: 'an external disk, a newer libvirtd',
        facts: reverting({ snapshot: snapshot('s1', { disks: [EXTERNAL] }), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'an external disk',
        facts: reverting({ snapshot: snapshot('s1', { disks: [EXTERNAL] }) }),
        finds: [
          {
            what: /external.*before 9\.9/,
            command: 'qemu-img convert -U -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.s1.copy',
          },
        ],
      },
      {
        says: 'memory in a file',
        facts: reverting({ snapshot: snapshot('s1', { memory: { location: 'external', file: '/m' } }) }),
        finds: [{ what: /external/ }],
      },
    ],
  },
  'missing-state': {
    severity: 'error',
    cases: [
      { says: 'internal', facts: reverting(), finds: [] },
      { says: 'external, and there', facts: reverting({ snapshot: layer('e1', 'qcow2') }), finds: [] },
      {
        says: 'external, and missing',
        facts: reverting({
          snapshot: layer('e1', 'qcow2'),
          images: new Map([['vda', broken('missing')]]),
        }),
        finds: [
          {
            what: /\/vm\/vda\.qcow2, which contains the disk content of snapshot e1, is missing/,
            command: 'kvmsnap delete --metadata centos7-1 e1',
          },
        ],
      },
    ],
  },
  'missing-memory-file': {
    severity: 'error',
    cases: [
      { says: 'there', facts: reverting({ memoryThere: true }), finds: [] },
      { says: 'not looked at', facts: reverting(), finds: [] },
      {
        says: 'missing',
        facts: reverting({
          snapshot: snapshot('m1', { memory: { location: 'external', file: '/vm/m1.mem' } }),
          memoryThere: false,
        }),
        finds: [
          {
            what: /the memory file of m1, \/vm\/m1\.mem, is missing/,
            command: 'kvmsnap delete centos7-1 m1',
          },
        ],
      },
    ],
  },
};
