import { chainPaths } from '../../model/image.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks, hasMemory, internalDisks, type Snapshot, stateFile } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { describeUses, opening, partFrom, seeing, shutDown, usesOf } from '../../sharing/image-users.ts';
import { copyOfSnapshot } from '../../vm/findings/disks.ts';
import { removedFiles } from './external-state.ts';
import type { RevertFacts } from './facts.ts';
import { startsQemu } from './stored-definition.ts';

/** The rule about other VMs that use the files which a revert changes. */

export const SHARED_FILES: Rule<RevertFacts> = {
  id: 'image-users',
  hazards: [39],
  severity: 'error',
  find: (facts) => [...changedForOthers(facts), ...removedFromOthers(facts), ...writtenByOthers(facts)],
};

/** The files with the state of an external snapshot to which another VM would write when it runs. */
export const SHARED_BASE: Rule<RevertFacts> = {
  id: 'shared-base',
  hazards: [39],
  severity: 'warning',
  find: (facts) =>
    statePaths(facts).flatMap(({ target, path }) => {
      const writers = usesOf(facts.users, path).filter(({ writes, open }) => writes && !open);
      if (writers.length === 0) return [];
      return {
        what: `disk ${target}: other VMs use ${path} too: ${describeUses(writers)}. If such a VM runs, it writes to ${path} below the new overlay, which damages the snapshot and the disk of this VM`,
        ...partFrom(writers),
      };
    }),
};

/** The images that a revert to an internal snapshot changes for every VM that uses them. */
function changedForOthers(facts: RevertFacts): Finding[] {
  const { domain, snapshot, users } = facts;
  const disks = internalDisks(snapshot);
  const nvram = domain.pflash?.nvramPath ?? null;
  const nvramUsers = changesNvram(facts)
    ? seeing(users, nvram)
    : overwritesVarstore(facts)
      ? opening(users, nvram)
      : [];
  return [
    ...disks.flatMap(({ target, source, address }) => {
      const now = domain.disks.find((disk) => disk.target === target);
      const path = source ?? address ?? now?.source ?? now?.address ?? null;
      const others = seeing(users, path);
      if (path === null || others.length === 0) return [];
      const instead = path.startsWith('/') ? copying(snapshot, path) : {};
      return {
        what: `disk ${target}: the revert changes the content of ${path}, and ${describeUses(others)}`,
        ...partFrom(others, instead),
      };
    }),
    ...(nvramUsers.length > 0
      ? [
          {
            what: `the revert changes the NVRAM ${nvram}, and ${describeUses(nvramUsers)}`,
            ...partFrom(nvramUsers),
          },
        ]
      : []),
  ];
}

function changesNvram({ domain: { pflash }, snapshot, resetNvram = false }: RevertFacts): boolean {
  if (pflash?.nvramFormat === 'json') return resetNvram || hasMemory(snapshot);
  return resetNvram || (internalDisks(snapshot).length > 0 && pflash?.nvramFormat === 'qcow2');
}

/** QEMU writes a <varstore> as soon as it starts, and does not lock it, so that another running VM would lose its variables. */
const overwritesVarstore = (facts: RevertFacts): boolean =>
  facts.domain.pflash?.nvramFormat === 'json' && startsQemu(facts);

function copying(snapshot: Snapshot, path: string): Pick<Finding, 'hint' | 'command'> {
  const { command, caution } = copyOfSnapshot(snapshot, path);
  return { hint: `copy the content of ${inText(snapshot.name)} into a new image${caution}`, command };
}

/** The state of an external snapshot is changing while another VM writes to its files, and QEMU cannot lock them. */
function writtenByOthers(facts: RevertFacts): Finding[] {
  return statePaths(facts).flatMap(({ target, path }) => {
    const writers = opening(facts.users, path).filter(({ writes }) => writes);
    if (writers.length === 0) return [];
    return {
      what: `disk ${target}: ${path} contains a part of snapshot ${inText(facts.snapshot.name)}, and another VM writes to it: ${describeUses(writers)}`,
      ...shutDown(writers),
    };
  });
}

/** The files on top of which a revert to an external snapshot makes its overlays, and their backing files. */
function statePaths({ snapshot, images }: RevertFacts) {
  return externalDisks(snapshot).flatMap((disk) =>
    [
      ...new Set([stateFile(snapshot, disk) ?? disk.address ?? null, ...chainPaths(images.get(disk.target))]),
    ].flatMap((path) => (path === null ? [] : [{ target: disk.target, path }])),
  );
}

/** The overlays that libvirt removes although other VMs use them. */
function removedFromOthers(facts: RevertFacts): Finding[] {
  return removedFiles(facts).flatMap((path) => {
    const others = usesOf(facts.users, path);
    if (others.length === 0) return [];
    return { what: `the revert removes ${path}, and ${describeUses(others)}`, ...partFrom(others) };
  });
}
