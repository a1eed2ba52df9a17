import { isFrom, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import type { Rule } from '../../model/rule.ts';
import { hasMemory, isOfMemoryAlone, locationOf, manualDisks } from '../../model/snapshot.ts';
import { diskInText, disksInText, inText } from '../../model/text.ts';
import type { RevertFacts } from './facts.ts';

/** Rules about external snapshots that do not contain all disks: memory only, or with disks left to their storage. */

/**
 * Properties of the snapshot that are not wrong have the severity `information`: a revert prints them, and they do not
 * make a check of the VM fail.
 */
export const PARTIAL_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'memory-alone',
    hazards: [],
    severity: 'information',
    find: ({ snapshot }) =>
      isOfMemoryAlone(snapshot)
        ? [
            {
              what: `${inText(snapshot.name)} contains only the memory. A revert loads the memory and leaves the disks as they are; if they were written to since, the guest file systems may be damaged`,
            },
          ]
        : [],
  },
  {
    id: 'manual-storage',
    hazards: [],
    severity: 'information',
    find: ({ snapshot }) => {
      const manual = manualDisks(snapshot);
      if (manual.length === 0) return [];
      const when = hasMemory(snapshot)
        ? 'before the revert, while the VM is off: the guest continues at once'
        : 'while the VM is off, before you start it again';
      return [
        {
          what: `snapshot ${inText(snapshot.name)} leaves ${disksInText(manual)} to the storage, so libvirt does not restore the content. Restore it with the tools of the storage ${when}`,
        },
      ];
    },
  },
  {
    // libvirt creates an overlay over every disk, also over one that the snapshot leaves out
    id: 'no-file',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshot, daemonVersion }) => {
      if (locationOf(snapshot) !== 'external' || !isFrom(daemonVersion, REVERTS_EXTERNAL)) return [];
      const stored = new Set(snapshot.definedDisks.map(({ target }) => target));
      return domain.disks
        .filter(({ target, storage }) => stored.has(target) && storage === 'block')
        .map(({ target, source }) => ({
          what: `${diskInText({ target, source })} is not a file, and libvirt cannot revert a VM with such a disk to an external snapshot`,
          hint: `the other disks of ${inText(snapshot.name)} are still in its files; copy them from there`,
        }));
    },
  },
];
