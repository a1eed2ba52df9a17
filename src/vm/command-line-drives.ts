import type { Domain } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';

/** Drives that the VM's XML passes directly to QEMU, of which libvirt takes no snapshot (hazard 47). */

/** A sentence about these drives, which libvirt does not know as disks. */
const named = ({ commandLineDrives }: Domain): string =>
  `<qemu:commandline> gives QEMU ${commandLineDrives.length === 1 ? 'a drive that libvirt does' : `${commandLineDrives.length} drives that libvirt does`} not manage (${commandLineDrives.join('; ')})`;

/** The finding about such drives; `consequence` ends the sentence. */
export const commandLineDrives = (domain: Domain, consequence: string): Finding[] =>
  domain.commandLineDrives.length === 0 ? [] : [{ what: `${named(domain)}, and ${consequence}` }];
