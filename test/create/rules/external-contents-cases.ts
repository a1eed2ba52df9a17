import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, MiB, seen, tag } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { at, both, external, MEMORY, OVERLAY, onBlock } from './external-facts.ts';

export const EXTERNAL_CONTENT_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
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
        finds: [{ what: /leaves out disk vdb/ }],
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
        finds: [
          {
            what: /^disk vda: internal snapshot a and 2 more are in \/vm\/vda\.qcow2, below the new overlay/,
          },
        ],
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
        finds: [{ what: /disk vda: the file system of \/vm\/vda\.s1 has only 1 MiB free/ }],
      },
    ],
  },
};
