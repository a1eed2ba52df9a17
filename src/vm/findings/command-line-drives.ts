import type { Domain } from '../../model/domain.ts';
import type { Finding } from '../../model/rule.ts';

/** Drives that the VM's XML passes directly to QEMU, of which libvirt takes no snapshot (hazard 47). */

/** A sentence about these drives, which libvirt does not know as disks. */
const named = ({ commandLineDrives }: Domain): string =>
  `<qemu:commandline> gives QEMU ${commandLineDrives.length === 1 ? 'a drive that libvirt does' : `${commandLineDrives.length} drives that libvirt does`} not manage (${commandLineDrives.join('; ')})`;

/** The finding about such drives; `consequence` ends the sentence. */
export const commandLineDrives = (domain: Domain, consequence: string): Finding[] =>
  domain.commandLineDrives.length === 0 ? [] : [{ what: `${named(domain)}, and ${consequence}` }];

const IS_READ_ONLY = /\b(?:readonly|read-only)(?:=on\b|["']?\s*:\s*true)|\bmedia=cdrom\b/;

/**
 * The finding if QEMU itself chooses the drive for the memory, as it does before libvirt 10.9: it prefers a drive of the
 * command line to those of libvirt, and fails if a drive cannot contain snapshots.
 */
export const drivesThatTakeMemory = (domain: Domain, older: string): Finding[] =>
  domain.commandLineDrives.every((drive) => IS_READ_ONLY.test(drive))
    ? []
    : [
        {
          what: `${named(domain)}, and ${older}: the memory would go into such a drive and not into a disk of the VM, or the snapshot would fail`,
          hint: 'define the drive as a disk of the VM instead; or shut the VM down first, or take an external snapshot of the disks only (--disk-only)',
        },
      ];
