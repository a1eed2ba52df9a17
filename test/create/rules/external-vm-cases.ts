import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { seen } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external, named, network, running } from './external-facts.ts';

const encrypted = { images: new Map([['vda', seen({ encrypted: true })]]) };

const LUKS = { format: 'luks', names: [], mayName: false };

export const EXTERNAL_VM_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
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
        finds: [{ what: /is off/, hint: /leave out --memspec/ }],
      },
      {
        says: '--live, off',
        facts: external({ external: true, live: true }),
        finds: [{ what: /no memory/, hint: /leave out --live/ }],
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
      { says: 'off', facts: external({ diskOnly: true, quiesce: true }), finds: [] },
      {
        says: 'no channel',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'no-channel' }),
        finds: [{ what: /no channel/, hint: /org\.qemu\.guest_agent\.0/ }],
      },
    ],
  },
  'quiesce-of-off-vm': {
    severity: 'warning',
    cases: [
      {
        says: 'off',
        facts: external({ diskOnly: true, quiesce: true }),
        finds: [{ what: /no guest to freeze/ }],
      },
      { says: 'off, without --quiesce', facts: external({ diskOnly: true }), finds: [] },
      {
        says: 'running',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'answers' }),
        finds: [],
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
        finds: [{ what: /does not answer/ }],
      },
      {
        says: 'frozen by somebody else',
        facts: external({ diskOnly: true, quiesce: true }, running, { agent: 'frozen' }),
        finds: [{ what: /already frozen, possibly by a backup/, command: 'virsh domfsthaw centos7-1' }],
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
        finds: [{ what: /below the overlays/, command: 'virsh start centos7-1' }],
      },
    ],
  },
};
