import { DELETES_PARTIAL, isBefore } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, quote } from '../../model/quote.ts';
import type { Finding } from '../../model/rule.ts';
import { externalDisks, internalDisks, isOfMemoryAlone, manualDisks } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import type { DeleteFacts } from './facts.ts';

/** Older versions fail (9.0: `cause is unknown`, or `could not find base disk source`). */
export function partialDeletion({ domain, snapshot, daemonVersion }: DeleteFacts): Finding[] {
  if (!isBefore(daemonVersion, DELETES_PARTIAL)) return [];
  const manual = manualDisks(snapshot);
  const forget = kvmsnapLine('delete', [domain.name, snapshot.name], '--metadata');
  if (isOfMemoryAlone(snapshot)) {
    const { file } = snapshot.memory;
    return [
      {
        what: `${inText(snapshot.name)} is of the memory alone, and this libvirtd (9.0) deletes no such one`,
        hint: 'have libvirt forget it, and remove the file of the memory',
        commands: [forget, ...(file === null ? [] : [`rm -- ${quote(file)}`])],
      },
    ];
  }
  if (manual.length === 0 || externalDisks(snapshot).length + internalDisks(snapshot).length === 0) return [];
  return [
    {
      what: `disk ${manual.join(', ')} was left to its storage when ${inText(snapshot.name)} was taken, and this libvirtd (9.0) deletes no such snapshot`,
      hint: "libvirt alone can forget it; every file stays, and the VM's disks go on as they are",
      command: forget,
    },
  ];
}
