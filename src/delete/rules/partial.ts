import { DELETES_PARTIAL, isBefore } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, quote } from '../../model/quote.ts';
import type { Finding } from '../../model/rule.ts';
import { externalDisks, internalDisks, isOfMemoryAlone, manualDisks } from '../../model/snapshot.ts';
import { disksInText, inText } from '../../model/text.ts';
import { unregistering } from './external.ts';
import type { DeleteFacts } from './facts.ts';

/** Snapshots that do not contain all disks; older versions fail to delete them (9.0: `cause is unknown`, or `could not find base disk source`). */
export function partialDeletion({ domain, snapshot, daemonVersion }: DeleteFacts): Finding[] {
  if (!isBefore(daemonVersion, DELETES_PARTIAL)) return [];
  const manual = manualDisks(snapshot);
  const unregister = kvmsnapLine('delete', [domain.name, snapshot.name], '--metadata');
  if (isOfMemoryAlone(snapshot)) {
    const { file } = snapshot.memory;
    return [
      {
        what: `${inText(snapshot.name)} contains only the memory, and this libvirtd (9.0) cannot delete such a snapshot`,
        hint:
          file === null
            ? 'unregister it from libvirt'
            : 'unregister it from libvirt, and remove the memory file; the saved memory is lost',
        commands: [unregister, ...(file === null ? [] : [`rm -- ${quote(file)}`])],
      },
    ];
  }
  if (manual.length === 0 || externalDisks(snapshot).length + internalDisks(snapshot).length === 0) return [];
  return [
    {
      what: `${inText(snapshot.name)} leaves ${disksInText(manual)} to the storage, and this libvirtd (9.0) cannot delete such a snapshot`,
      ...unregistering({ domain }, snapshot),
    },
  ];
}
