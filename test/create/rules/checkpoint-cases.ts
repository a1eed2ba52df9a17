// Cases of the rules for snapshots beside the checkpoints of an incremental backup.
import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import type { RevertFacts } from '../../../src/revert/rules/facts.ts';
import { domain } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { external } from './external-facts.ts';

const OLD = { daemonVersion: 9_000_000 };
const NEW = { daemonVersion: 11_003_000 };

type Making<Facts> = (changes?: Partial<Facts>) => Facts;

export const checkpointCreateCases = (
  creating: Making<CreateFacts>,
): Readonly<Record<string, RuleCases<CreateFacts>>> => ({
  checkpoints: {
    severity: 'error',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'two, off, a libvirtd that cannot revert to external ones: only then they go',
        facts: creating({ domain: domain({ checkpoints: ['cp 1', 'cp2'] }), ...OLD }),
        finds: [
          {
            what: /2 checkpoints.*\(cp 1, cp2\)/,
            hint: /next backup then has to be a full one/,
            commands: [
              'virsh start centos7-1',
              "virsh checkpoint-delete centos7-1 --checkpointname 'cp 1'",
              'virsh checkpoint-delete centos7-1 --checkpointname cp2',
            ],
          },
        ],
      },
      {
        says: 'off, a newer libvirtd: what is advised destroys nothing',
        facts: creating({ domain: domain({ checkpoints: ['a'] }), ...NEW }),
        finds: [
          {
            what: /refuses an internal snapshot or cannot revert to it/,
            commands: ['virsh start centos7-1', 'kvmsnap create-as --external centos7-1 snapshot-2'],
          },
        ],
      },
      {
        says: 'many, running: the first three are named',
        facts: creating({
          domain: domain({ state: 'running', checkpoints: ['a', 'b', 'c', 'd'] }),
          ...NEW,
        }),
        finds: [
          {
            what: /4 checkpoints.*\(a, b, c, \.\.\.\)/,
            commands: ['kvmsnap create-as --external centos7-1 snapshot-2'],
          },
        ],
      },
    ],
  },
  'checkpoints-while-off': {
    severity: 'error',
    cases: [
      {
        says: 'running',
        facts: external({ external: true }, { state: 'running', checkpoints: ['a'] }),
        finds: [],
      },
      { says: 'none', facts: external(), finds: [] },
      {
        says: 'off',
        facts: external({ external: true }, { checkpoints: ['a'] }),
        finds: [{ what: /only while it runs/, command: 'virsh start centos7-1' }],
      },
    ],
  },
});

export const checkpointRevertCases = (
  reverting: Making<RevertFacts>,
  outside: RevertFacts['snapshot'],
): Readonly<Record<string, RuleCases<RevertFacts>>> => ({
  checkpoints: {
    severity: 'error',
    cases: [
      { says: 'none', facts: reverting(), finds: [] },
      {
        says: 'an external one',
        facts: reverting({ domain: domain({ checkpoints: ['a'] }), snapshot: outside }),
        finds: [],
      },
      {
        says: 'an internal one: it can be copied, and nothing goes',
        facts: reverting({ domain: domain({ checkpoints: ['a'] }) }),
        finds: [
          {
            what: /a running VM would stop, and its memory would be lost/,
            hint: /copy the content .* delete the checkpoints .* full one/,
            commands: [
              'qemu-img convert -U -l snapshot.name=s1 -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.s1.copy',
            ],
          },
        ],
      },
    ],
  },
  'checkpoints-cut-off': {
    severity: 'information',
    cases: [
      { says: 'none', facts: reverting({ snapshot: outside }), finds: [] },
      { says: 'an internal one', facts: reverting({ domain: domain({ checkpoints: ['a'] }) }), finds: [] },
      {
        says: 'an external one',
        facts: reverting({ domain: domain({ checkpoints: ['a'] }), snapshot: outside }),
        finds: [
          { what: /have none of their bitmaps: the next backup/, hint: /checkpoint-delete --metadata/ },
        ],
      },
    ],
  },
});
