import type { Finding, Rule } from '../../model/rule.ts';
import { internalDisks } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { describeUses, partFrom, seeing, usesOf } from '../../sharing/image-users.ts';
import { copyOfSnapshot } from '../../vm/disk-findings.ts';
import { removedFiles } from './external-state.ts';
import type { RevertFacts } from './facts.ts';

/** The rule about other VMs that use the files which a revert changes. */

export const SHARED_FILES: Rule<RevertFacts> = {
  id: 'image-users',
  hazards: [39],
  severity: 'error',
  find: (facts) => [...changedForOthers(facts), ...removedFromOthers(facts)],
};

/** The images that a revert to an internal snapshot changes for every VM that uses them. */
function changedForOthers({ domain, snapshot, users, resetNvram }: RevertFacts): Finding[] {
  const disks = internalDisks(snapshot);
  const nvram = domain.pflash?.nvramPath ?? null;
  const isNvramChanged = resetNvram || (disks.length > 0 && domain.pflash?.nvramFormat === 'qcow2');
  return [
    ...disks.flatMap(({ target, source }) => {
      const path = source ?? domain.disks.find((disk) => disk.target === target)?.source ?? null;
      const others = seeing(users, path);
      if (path === null || others.length === 0) return [];
      const { command, caution } = copyOfSnapshot(snapshot, path);
      const instead = {
        hint: `copy the content of ${inText(snapshot.name)} into a new image${caution}`,
        command,
      };
      return {
        what: `disk ${target}: the revert changes the content of ${path}, and ${describeUses(others)}`,
        ...partFrom(others, instead),
      };
    }),
    ...(nvram !== null && isNvramChanged && seeing(users, nvram).length > 0
      ? [
          {
            what: `the revert changes the NVRAM ${nvram}, and ${describeUses(seeing(users, nvram))}`,
            ...partFrom(seeing(users, nvram)),
          },
        ]
      : []),
  ];
}

/** The overlays that libvirt removes although other VMs use them. */
function removedFromOthers(facts: RevertFacts): Finding[] {
  return removedFiles(facts).flatMap((path) => {
    const others = usesOf(facts.users, path);
    if (others.length === 0) return [];
    return { what: `the revert removes ${path}, and ${describeUses(others)}`, ...partFrom(others) };
  });
}
