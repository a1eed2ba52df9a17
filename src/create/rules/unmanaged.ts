import { type Domain, isActive } from '../../model/domain.ts';
import { ifBefore, SAVES_BY_JOB } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { commandLineDrives, drivesThatTakeMemory } from '../../vm/findings/command-line-drives.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/** What libvirt does not manage: drives on QEMU's own command line (hazard 47), and transient VMs (hazard 53). */

const transience = (domain: Domain): Finding[] =>
  domain.transient
    ? [
        {
          what: 'the VM is transient: when it stops, libvirt unregisters its snapshots, and internal ones stay in the images as tags without a snapshot',
          hint: 'make the VM persistent',
          // through a pipe, because a file of any name could exist already
          command: `virsh dumpxml ${virshWord(domain)} | virsh define /dev/stdin`,
        },
      ]
    : [];

export const UNMANAGED_CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'memory-into-command-line-drive',
    hazards: [47],
    severity: 'error',
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) => {
      const older = ifBefore(daemonVersion, SAVES_BY_JOB, 'lets QEMU choose the drive for the memory');
      return older === null || !isActive(domain.state) ? [] : drivesThatTakeMemory(domain, older);
    },
  },
  {
    id: 'command-line-drives',
    hazards: [47],
    severity: 'warning',
    find: ({ domain }) => commandLineDrives(domain, 'libvirt does not include that in the snapshot'),
  },
  { id: 'transient', hazards: [53], severity: 'warning', find: ({ domain }) => transience(domain) },
];
