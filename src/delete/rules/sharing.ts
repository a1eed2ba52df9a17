import { isActive } from '../../model/domain.ts';
import { stateFiles } from '../../model/domain-files.ts';
import { chainOf, chainPaths } from '../../model/image.ts';
import { isBefore, isFrom, REMOVES_MEMORY, SPARES_INTERNAL } from '../../model/libvirt-versions.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks, locationOf, stateFile } from '../../model/snapshot.ts';
import { disksInText, inText } from '../../model/text.ts';
import {
  accounting,
  byOtherDisks,
  describeUses,
  opening,
  seeing,
  shutDown,
  usesOf,
} from '../../sharing/image-users.ts';
import { deletionOf } from '../deletion-set.ts';
import { external, holderBefore, unregistering } from './external.ts';
import type { DeleteFacts } from './facts.ts';
import { internalMembers } from './internal.ts';

/**
 * Rules about files that a delete changes or removes while something else needs them: another snapshot, or another
 * VM.
 */

export const SHARING_RULES: readonly Rule<DeleteFacts>[] = [
  external('file-in-use', [33], (facts) => {
    if (deletionOf(facts) !== 'unlink') return [];
    const users = usersOf(facts);
    return filesRemoved(facts).flatMap((path) => {
      const user = users.get(path);
      if (user === undefined) return [];
      return {
        what: `libvirt would remove ${path} with ${inText(facts.snapshot.name)}, but ${user} needs it`,
        ...unregistering(facts, facts.snapshot),
      };
    });
  }),
  external('image-users', [37, 39], changedForOthers),
  // QEMU cannot lock the file for writing, because it has it open for the other disk: libvirt fails after it has merged other disks
  external('other-disk', [37], (facts) =>
    filesTouched(facts).flatMap(({ path, action, target }) => {
      if (!facts.ownUses || target === null) return [];
      const others = byOtherDisks(facts.ownUses, path, { uuid: facts.domain.uuid, target });
      if (others.length === 0) return [];
      const disks = disksInText(unique(others.flatMap((use) => use.target ?? [])));
      return {
        what: `disk ${target}: to delete ${inText(facts.snapshot.name)}, libvirt would ${action}, which ${disks} of the VM needs too`,
        ...unregistering(facts, facts.snapshot),
      };
    }),
  ),
  {
    id: 'shared-tag',
    hazards: [39],
    severity: 'error',
    find: (facts) =>
      internalMembers(facts).flatMap(({ name, target, path }) => {
        const users = accounting(facts.users, path, name);
        if (users.length === 0) return [];
        return {
          what: `disk ${target}: the snapshot ${inText(name)} in ${path} belongs to another VM too, which would lose it: ${describeUses(users)}`,
          hint: 'unregister it from this VM only; the data stay in the image for the other VM',
          command: kvmsnapLine('delete', [facts.domain.name, name], '--metadata'),
        };
      }),
  },
  {
    id: 'image-in-use',
    hazards: [39],
    severity: 'error',
    // while the VM is off, virsh removes the metadata and exits with 0, although qemu-img cannot open the locked image
    find: (facts) =>
      isActive(facts.domain.state)
        ? []
        : internalMembers(facts).flatMap(({ name, target, path }) => {
            const users = opening(facts.users, path);
            if (users.length === 0) return [];
            return {
              what: `disk ${target}: ${inText(name)} cannot be deleted from ${path} now, because ${describeUses(users)}`,
              ...shutDown(users),
            };
          }),
  },
];

/** The files of other VMs that the deletion of an external snapshot would change or remove. */
export function changedForOthers(facts: DeleteFacts): Finding[] {
  return filesTouched(facts).flatMap(({ path, action, isRemoved }) => {
    const users = isRemoved ? usesOf(facts.users, path) : seeing(facts.users, path);
    if (users.length === 0) return [];
    return {
      what: `to delete ${inText(facts.snapshot.name)}, libvirt would ${action}, and ${describeUses(users)}`,
      ...unregistering(facts, facts.snapshot),
    };
  });
}

/** The files that libvirt removes if it merges nothing (`unlink`): those that contain the snapshot's state. */
function filesRemoved(facts: DeleteFacts): string[] {
  return externalDisks(facts.snapshot).flatMap((disk) => {
    const parent = holderBefore(facts, disk.target);
    const isMade = parent !== undefined && locationOf(parent) === 'external';
    const source = stateFile(facts.snapshot, disk);
    return source && (isMade || !isFrom(facts.daemonVersion, SPARES_INTERNAL)) ? [source] : [];
  });
}

/** The files that a deletion changes or removes. A merge writes into the file below the overlay. */
export function filesTouched(
  facts: Omit<DeleteFacts, 'writeObstacles' | 'undercounted' | 'ownUses'>,
): Touched[] {
  const removed = (path: string, target: string | null = null): Touched => ({
    ...{ path, target },
    action: `remove ${path}`,
    isRemoved: true,
  });
  const { location, file } = facts.snapshot.memory;
  const isMemoryRemoved =
    location === 'external' && file !== null && !isBefore(facts.daemonVersion, REMOVES_MEMORY);
  const memory = isMemoryRemoved ? [removed(file)] : [];
  if (deletionOf(facts) === 'unlink') return [...filesRemoved(facts).map((path) => removed(path)), ...memory];
  const merged = externalDisks(facts.snapshot).flatMap((disk): Touched[] => {
    const { target, source } = disk;
    if (source === null) return [];
    const overlay = chainOf(facts.images.get(target)).find(({ path }) => path === source);
    const base = overlay?.backing ?? stateFile(facts.snapshot, disk) ?? disk.address ?? null;
    const written = (path: string): Touched => ({
      ...{ path, target },
      action: `write into ${path}`,
      isRemoved: false,
    });
    return [...(base === null ? [] : [written(base)]), removed(source, target)];
  });
  return [...merged, ...memory];
}

interface Touched {
  readonly path: string;
  /** The disk whose overlay is merged; null if nothing is. */
  readonly target: string | null;
  readonly action: string;
  readonly isRemoved: boolean;
}

/** By path, what else needs the file: a disk of the VM, or another snapshot whose state is in it. */
function usersOf({ domain, snapshot, snapshots, images }: DeleteFacts): ReadonlyMap<string, string> {
  const users = new Map<string, string>();
  for (const other of snapshots) {
    if (other.name === snapshot.name) continue;
    for (const { path } of stateFiles(other)) users.set(path, `snapshot ${inText(other.name)}`);
  }
  for (const { target, source } of domain.disks) {
    if (source !== null) users.set(source, `disk ${target} of the VM`);
    for (const path of chainPaths(images.get(target))) users.set(path, `disk ${target} of the VM`);
  }
  return users;
}

const unique = <T>(all: readonly T[]): T[] => [...new Set(all)];
