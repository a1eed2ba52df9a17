import type { CreateFacts } from './common.ts';
import type { Domain } from '../../model/domain.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { virshWord } from '../../model/quote.ts';
import type { RevertFacts } from '../../revert/rules/common.ts';

/** What libvirt does not look after: drives that QEMU is given past it (hazard 47), and VMs that it forgets (hazard 53). */

/** QEMU is given `file=/a,format=raw` past libvirt, which knows of no such disk. */
const named = ({ commandLineDrives }: Domain): string =>
  `QEMU is given ${commandLineDrives.length === 1 ? 'a drive' : `${commandLineDrives.length} drives`} past libvirt in <qemu:commandline> (${commandLineDrives.join('; ')})`;

const drives = (domain: Domain, consequence: string): Finding[] =>
  domain.commandLineDrives.length === 0 ? [] : [{ what: `${named(domain)}, and ${consequence}` }];

const forgotten = (domain: Domain): Finding[] =>
  domain.transient
    ? [
        {
          what: 'the VM is transient: libvirt forgets its snapshots when it stops, and internal ones stay in the images as tags that no command shows',
          hint: 'give it a definition that stays',
          // through a pipe: a file of some name may be there already
          command: `virsh dumpxml ${virshWord(domain)} | virsh define /dev/stdin`,
        },
      ]
    : [];

export const UNMANAGED_CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'command-line-drives',
    hazards: [47],
    severity: 'warning',
    find: ({ domain }) => drives(domain, 'libvirt takes no snapshot of what is on it'),
  },
  { id: 'transient', hazards: [53], severity: 'warning', find: ({ domain }) => forgotten(domain) },
];

export const UNMANAGED_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'command-line-drives',
    hazards: [47],
    severity: 'warning',
    find: ({ domain }) => drives(domain, 'it keeps what is on it now: the disks may not fit together then'),
  },
];
