// Cases of the rules for what libvirt does not look after.
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { disk, domain } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external } from './external-facts.ts';

type Making<Facts> = (changes?: Partial<Facts>) => Facts;

const ONE = domain({ commandLineDrives: ['file=/a.qcow2,if=virtio'] });
const TWO = domain({ commandLineDrives: ['/a', 'driver=raw'] });

export const unmanagedCreateCases = (
  creating: Making<CreateFacts>,
): Readonly<Record<string, RuleCases<CreateFacts>>> => ({
  'memory-into-command-line-drive': {
    severity: 'error',
    cases: [
      { says: 'a VM that is off', facts: creating({ domain: ONE, daemonVersion: 9_000_000 }), finds: [] },
      {
        says: 'libvirt chooses the disk',
        facts: creating({ domain: { ...ONE, state: 'running' }, daemonVersion: 10_009_000 }),
        finds: [],
      },
      {
        says: 'QEMU chooses the drive',
        facts: creating({ domain: { ...ONE, state: 'running' }, daemonVersion: 9_000_000 }),
        finds: [
          {
            what: /before 10\.9\) lets QEMU choose the drive.*not into a disk of the VM/,
            hint: /--disk-only/,
          },
        ],
      },
      {
        says: 'drives that nobody writes to',
        facts: creating({
          domain: domain({
            state: 'running',
            commandLineDrives: ['file=/a,readonly=on', 'file=/b,media=cdrom', '{"read-only": true}'],
          }),
          daemonVersion: 9_000_000,
        }),
        finds: [],
      },
    ],
  },
  'command-line-drives': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'one',
        facts: creating({ domain: ONE }),
        finds: [
          {
            what: /^<qemu:commandline> gives QEMU a drive that libvirt does not manage \(file=\/a.qcow2,if=virtio\), and libvirt does not include/,
          },
        ],
      },
      { says: 'two', facts: creating({ domain: TWO }), finds: [{ what: /2 drives .*\(\/a; driver=raw\)/ }] },
    ],
  },
  transient: {
    severity: 'warning',
    cases: [
      { says: 'a VM that stays', facts: creating(), finds: [] },
      {
        says: 'one that goes',
        facts: creating({ domain: domain({ transient: true, state: 'running' }) }),
        finds: [
          {
            what: /when it stops, libvirt unregisters its snapshots/,
            command: 'virsh dumpxml centos7-1 | virsh define /dev/stdin',
          },
        ],
      },
    ],
  },
});

const SHARED = { disks: [disk({ driver: 'raw', shareable: true })] };

export const SHAREABLE_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'shareable-overlay': {
    severity: 'error',
    cases: [
      { says: 'a disk of its own', facts: external(), finds: [] },
      {
        says: 'left out',
        facts: external(
          {
            diskOnly: true,
            disks: [{ disk: 'vda', location: 'no', file: null, driver: null, storage: null }],
          },
          { disks: [...SHARED.disks, disk({ target: 'vdb' })] },
        ),
        finds: [],
      },
      {
        says: 'with an overlay',
        facts: external({ diskOnly: true }, SHARED),
        finds: [
          {
            what: /disk vda .* is <shareable\/>, and libvirt creates no overlay for such a disk/,
            command: 'kvmsnap create-as --disk-only --diskspec vda,snapshot=no centos7-1 without-vda',
          },
        ],
      },
    ],
  },
};

export const unmanagedRevertCases = (
  reverting: Making<RevertFacts>,
): Readonly<Record<string, RuleCases<RevertFacts>>> => ({
  'command-line-drives': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: reverting(), finds: [] },
      { says: 'one', facts: reverting({ domain: ONE }), finds: [{ what: /a revert leaves it as it is/ }] },
    ],
  },
});
