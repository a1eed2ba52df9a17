import { internalPlan } from '../../../src/create/plan.ts';
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { INTERNAL_SPEC } from '../../../src/model/input/snapshot-spec.ts';
import { disk, domain, MiB, seen } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { creating, creatingOn, NEW_DAEMON, running } from './creating.ts';
import { external } from './external-facts.ts';

export const VM_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'memory-cannot-be-loaded': {
    severity: 'warning',
    cases: [
      { says: 'off', facts: creating({ daemonVersion: 11_003_000 }), finds: [] },
      {
        says: 'another version',
        facts: creating({ domain: running(), daemonVersion: 12_008_000 }),
        finds: [],
      },
      {
        says: 'a package with the fix',
        facts: creating({ domain: running(), daemonVersion: 11_003_000, loadsMemory: true }),
        finds: [],
      },
      {
        says: '11.3 without it',
        facts: creating({ domain: running(), daemonVersion: 11_003_000, loadsMemory: false }),
        finds: [
          { what: /libvirt 11\.3 cannot load the memory .*: to revert to this snapshot, update libvirt/ },
        ],
      },
    ],
  },
  'block-job': {
    severity: 'error',
    cases: [
      { says: 'none', facts: creating({ domain: running() }), finds: [] },
      {
        says: 'by the job list and by the mirror in the XML, each disk once',
        facts: creating({
          domain: running({ disks: [disk({ mirrored: true }), disk({ target: 'vdb' })] }),
          blockJobs: ['vda', 'vdb'],
        }),
        finds: [
          { what: /disk vda: a block job/, command: 'virsh blockjob centos7-1 vda --abort' },
          { what: /disk vdb: a block job/, command: 'virsh blockjob centos7-1 vdb --abort' },
        ],
      },
      {
        says: 'by the mirror only',
        facts: creating({ domain: running({ disks: [disk({ mirrored: true })] }) }),
        finds: [{ what: /disk vda/ }],
      },
    ],
  },
  'transient-disk': {
    severity: 'error',
    cases: [
      { says: 'off', facts: creatingOn({ transient: true }), finds: [] },
      { says: 'no such disk', facts: creating({ domain: running() }), finds: [] },
      {
        says: 'running',
        facts: creating({ domain: running({ disks: [disk({ transient: true })] }) }),
        finds: [{ what: /disk vda is <transient\/>/, command: 'virsh shutdown centos7-1' }],
      },
    ],
  },
  'host-device': {
    severity: 'error',
    cases: [
      { says: 'off', facts: creating({ domain: domain({ hostDevices: ['pci'] }) }), finds: [] },
      {
        says: 'usb, which QEMU can save',
        facts: creating({ domain: running({ hostDevices: ['usb'] }) }),
        finds: [],
      },
      {
        says: 'two of a kind, running',
        facts: creating({ domain: running({ hostDevices: ['pci', 'pci', 'usb'] }) }),
        finds: [{ what: /host devices \(pci\)/, command: 'virsh shutdown centos7-1' }],
      },
    ],
  },
  'shared-filesystem': {
    severity: 'error',
    cases: [
      { says: 'off', facts: creating({ domain: domain({ sharedFilesystems: ['virtiofs'] }) }), finds: [] },
      {
        says: '9p, running',
        facts: creating({ domain: running({ sharedFilesystems: ['path'] }) }),
        finds: [],
      },
      {
        says: 'virtiofs, running',
        facts: creating({ domain: running({ sharedFilesystems: ['path', 'virtiofs'] }) }),
        finds: [{ what: /virtiofs/, command: 'virsh shutdown centos7-1' }],
      },
      {
        says: 'virtiofs, running, where libvirtd can save it',
        facts: creating({ domain: running({ sharedFilesystems: ['virtiofs'] }), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
    ],
  },
  'managed-save': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'there is one',
        facts: creating({ domain: domain({ managedSave: true }) }),
        finds: [{ what: /managed save/, hint: /start the VM first/ }],
      },
    ],
  },
  'free-space': {
    severity: 'overridable',
    cases: [
      { says: 'off', facts: creating({ freeBytes: 0 }), finds: [] },
      { says: 'not known', facts: creating({ domain: running(), freeBytes: null }), finds: [] },
      { says: 'just enough', facts: creating({ domain: running(), freeBytes: 364 * MiB }), finds: [] },
      {
        says: 'one byte short of what QEMU holds, and the margin',
        facts: creating({ domain: running(), freeBytes: 364 * MiB - 1 }),
        finds: [{ what: /up to 364 MiB.*\/vm\/vda\.qcow2/, hint: /--force/ }],
      },
      {
        says: 'short of all the memory, where QEMU does not tell what it holds',
        facts: creating({ domain: running(), freeBytes: 400 * MiB, residentBytes: null }),
        finds: [{ what: /up to 576 MiB.* has only 400 MiB free/ }],
      },
    ],
  },
  'no-metadata': {
    severity: 'warning',
    cases: [
      { says: 'with metadata', facts: creating(), finds: [] },
      {
        says: 'internal',
        facts: creating({ plan: internalPlan(domain(), { ...INTERNAL_SPEC, noMetadata: true }) }),
        finds: [{ what: /will not record the snapshot.*counts as an orphan/ }],
      },
      {
        says: 'external',
        facts: external({ external: true, noMetadata: true }),
        finds: [{ what: /continues in overlays that belong to no snapshot/ }],
      },
    ],
  },
  'dirty-bitmaps': {
    severity: 'error',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'two',
        facts: creating({ images: new Map([['vda', seen({ bitmaps: ['a', 'b'] })]]) }),
        finds: [
          {
            what: /dirty bitmaps a, b/,
            commands: [
              'qemu-img bitmap --remove -f qcow2 /vm/vda.qcow2 a',
              'qemu-img bitmap --remove -f qcow2 /vm/vda.qcow2 b',
            ],
          },
        ],
      },
      {
        says: 'those of checkpoints',
        facts: creating({
          domain: domain({ checkpoints: ['c1'] }),
          images: new Map([['vda', seen({ bitmaps: ['c1'] })]]),
        }),
        finds: [],
      },
    ],
  },
};
