import { isFrom, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import type { Rule } from '../../model/rule.ts';
import { hasMemory, isOfMemoryAlone, locationOf, manualDisks } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import type { RevertFacts } from './facts.ts';

/** Rules about external snapshots that do not contain all disks: memory only, or with disks left to their storage. */

/**
 * Properties of the snapshot that are no fault are information: a revert prints them, and a check of the VM does not
 * fail.
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
              what: `${inText(snapshot.name)} is of the memory alone: the guest goes on with it over what the disks hold in the files of then, and if these were written to since, its file systems may be damaged`,
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
        ? 'before the revert, with the VM off: the guest goes on at once'
        : 'while the VM is off, before it is started again';
      return [
        {
          what: `disk ${manual.join(', ')} was left to its storage when ${inText(snapshot.name)} was taken, and libvirt does not bring its content back. Put it back with the tools of the storage, ${when}`,
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
          what: `disk ${target} (${source ?? 'without a path'}) is no file, and libvirt reverts no VM with such a disk to an external snapshot`,
          hint: `what ${inText(snapshot.name)} keeps of the other disks stays in its files, and can be copied from there`,
        }));
    },
  },
];
