import type { Domain } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';

/** Drives that QEMU is given past libvirt, of which libvirt takes no snapshot (hazard 47). */

/** QEMU is given `file=/a,format=raw` past libvirt, which knows of no such disk. */
const named = ({ commandLineDrives }: Domain): string =>
  `QEMU is given ${commandLineDrives.length === 1 ? 'a drive' : `${commandLineDrives.length} drives`} past libvirt in <qemu:commandline> (${commandLineDrives.join('; ')})`;

/** What is found of such drives; `consequence` ends the sentence. */
export const commandLineDrives = (domain: Domain, consequence: string): Finding[] =>
  domain.commandLineDrives.length === 0 ? [] : [{ what: `${named(domain)}, and ${consequence}` }];
