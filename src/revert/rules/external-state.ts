import { pausedDeleteLine } from '../../delete/rules/external-chain.ts';
import { adviseDeletion } from '../../model/deletion-advice.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { chainPaths } from '../../model/image.ts';
import { type DaemonVersion, FINDS_CHAIN, isBefore, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import { directoryOf } from '../../model/paths.ts';
import { commandLine, kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks, locationOf, type Snapshot, stateFile } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import {
  interruptedMerges,
  isProven,
  isUntouched,
  isWrittenSince,
  type OverlayTarget,
  removedByRevert,
  type StateFile,
  takenOnItLater,
} from '../../vm/external-state.ts';
import type { RevertFacts } from './facts.ts';

/** Rules about a revert to an external snapshot: whether its state still exists, and what libvirt would remove. */

export const EXTERNAL_STATE_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'merge-interrupted',
    hazards: [40],
    severity: 'error',
    find: ({ domain, snapshot, snapshots, daemonVersion }) =>
      interruptedMerges(snapshots)
        .filter(({ ruined }) => ruined.includes(snapshot.name))
        .map(({ target, path }) =>
          domain.busy
            ? { what: `disk ${target}: ${inText(snapshot.name)} is being deleted at this moment` }
            : {
                what: `disk ${target}: a deletion of ${inText(snapshot.name)} was interrupted, and ${path}, which held its state, is half overwritten`,
                ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                  hint: 'finish the deletion; what the disk holds now stays as it is',
                  lines: [deletingLine(domain, snapshot, target, daemonVersion)],
                }),
              },
        ),
  },
  {
    id: 'state-in-use',
    hazards: [41],
    severity: 'error',
    find: (facts) =>
      eachState(facts, (state) => {
        const { domain, snapshot, snapshots } = facts;
        const later = takenOnItLater(snapshots, snapshot, state);
        if (later === null && (!state.isInUse || isUntouched(snapshot, state))) return null;
        const why = state.isInUse
          ? 'is the disk in use now'
          : `was in use again afterwards: ${inText(later ?? '')} was taken on it`;
        return {
          what: `disk ${state.target}: ${state.path}, which held the state of ${inText(snapshot.name)}, ${why}, so the state is gone`,
          ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
            hint: 'libvirt can forget the snapshot; every file stays',
            options: ['--metadata'],
          }),
        };
      }),
  },
  {
    id: 'state-written',
    hazards: [40, 41],
    severity: 'overridable',
    find: (facts) =>
      eachState(facts, (state) => {
        const { domain, snapshot, snapshots, daemonVersion } = facts;
        const isSaid =
          state.isInUse ||
          takenOnItLater(snapshots, snapshot, state) !== null ||
          interruptedMerges(snapshots).some(({ ruined }) => ruined.includes(snapshot.name));
        if (isSaid || state.writtenAtSeconds === null || !isWrittenSince(state)) return null;
        const when = new Date(state.writtenAtSeconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
        return {
          what: `disk ${state.target}: ${state.path}, which keeps the state of ${inText(snapshot.name)}, was written to afterwards (${when}), by a deletion that was interrupted or by whoever used the file`,
          hint: 'a deletion of the snapshot keeps what the disks hold now. If the file was only repaired, copied or restored, its state is good: use --force',
          command: deletingLine(domain, snapshot, state.target, daemonVersion),
        };
      }),
  },
  {
    id: 'no-overlay-directory',
    hazards: [42, 50],
    severity: 'error',
    find: ({ snapshot, daemonVersion, overlayTargets = [] }) =>
      isBefore(daemonVersion, REVERTS_EXTERNAL)
        ? []
        : overlayTargets.flatMap((place) => {
            const obstacle = overlayObstacle(place);
            if (obstacle === null) return [];
            const { why, ...cure } = obstacle;
            return {
              what: `disk ${place.target}: with a revert to ${inText(snapshot.name)} libvirt lays a new overlay over ${place.path} too, and ${why}: a running guest would be lost`,
              ...cure,
            };
          }),
  },
  {
    id: 'no-current',
    hazards: [42],
    severity: 'error',
    // libvirtd 11.3 and 12.8 look at the current snapshot without asking whether there is one
    find: (facts) => {
      const { domain, snapshot, current, daemonVersion } = facts;
      const isOlder = isBefore(daemonVersion, REVERTS_EXTERNAL);
      if (current !== null || locationOf(snapshot) === 'internal' || isOlder) return [];
      return [
        {
          what: 'libvirt has no current snapshot for this VM, and libvirtd crashes when it reverts such a VM to an external snapshot',
          ...rightCurrent(facts, domain),
        },
      ];
    },
  },
  {
    id: 'removes-needed-file',
    hazards: [42],
    severity: 'error',
    find: (facts) => {
      const { domain, snapshot, current } = facts;
      return removedFiles(facts).flatMap((path) => {
        const user = userOf(facts, path);
        if (user === null) return [];
        return {
          what: `libvirt takes ${inText(current ?? '')} for the current snapshot, and with a revert to ${inText(snapshot.name)} it would remove ${path}, on which ${user} lies`,
          ...rightCurrent(facts, domain),
        };
      });
    },
  },
];

/** The size of an empty overlay in bytes, with its tables. */
const OVERLAY_BYTES = 256 * 1024;

/** Why libvirt cannot create an overlay beside a file; null where it can. */
function overlayObstacle({
  path,
  isFile,
  directory,
  freeBytes = null,
}: OverlayTarget): ({ readonly why: string } & Pick<Finding, 'hint' | 'command'>) | null {
  if (!isFile) return { why: 'it is no file' };
  if (directory === 'read-only')
    return {
      why: 'its file system is read-only',
      hint: 'make the file system writable while the revert runs',
    };
  if (directory === 'immutable')
    return {
      why: 'its directory is immutable (chattr +i)',
      hint: 'make it writable while the revert runs',
      command: commandLine('chattr', ['-i', directoryOf(path) || '/']),
    };
  if (freeBytes !== null && freeBytes < OVERLAY_BYTES)
    return { why: 'its file system is full', hint: 'free some space on it first; 1 MiB is enough' };
  return null;
}

/** What is found in each file of the snapshot that the VM is to be reverted to. */
function eachState({ states = [] }: RevertFacts, find: (state: StateFile) => Finding | null): Finding[] {
  return states.flatMap((state) => find(state) ?? []);
}

/**
 * The files that libvirt removes in this revert. With a backup none: the backup becomes the current snapshot, and is
 * internal.
 */
export function removedFiles({ snapshot, snapshots, current, backup, daemonVersion }: RevertFacts): string[] {
  if (backup || isBefore(daemonVersion, REVERTS_EXTERNAL)) return [];
  return removedByRevert(snapshots, snapshot, current);
}

/** Whether the files of this snapshot still hold its state, as far as it can be told. */
export const holdsItsState = ({ snapshot, snapshots, states = [] }: RevertFacts): boolean =>
  isProven(snapshots, snapshot, states);

/**
 * What would be broken without this file; null where nothing is. The active image of a disk does not count: every
 * revert gives it up.
 */
function userOf({ domain, snapshots, images, active, snapshot }: RevertFacts, path: string): string | null {
  const keeper = snapshots.find((each) => externalDisks(each).some((disk) => stateFile(each, disk) === path));
  if (keeper) return `the state of ${inText(keeper.name)}`;
  if ([...images.values()].some((image) => chainPaths(image).includes(path)))
    return `the state of ${inText(snapshot.name)}`;
  const disk = domain.disks.find(({ target }) => chainPaths(active.get(target)).slice(1).includes(path));
  return disk ? `disk ${disk.target} of the VM` : null;
}

/** The snapshot on whose overlay the VM's disks are, to be made the current one. */
function rightCurrent(
  { snapshots, current }: RevertFacts,
  domain: Domain,
): Pick<Finding, 'hint' | 'command'> {
  const inUse = new Set(domain.disks.map(({ source }) => source));
  const right = snapshots.findLast(
    (each) =>
      each.name !== current &&
      (externalDisks(each).some(({ source }) => inUse.has(source)) ||
        (each.revertOverlays ?? []).some((path) => inUse.has(path))),
  );
  if (!right)
    return {
      hint: `tell libvirt from which snapshot the VM runs on: virsh snapshot-current ${virshWord(domain)} --snapshotname NAME`,
    };
  return {
    hint: `the VM runs on from ${inText(right.name)}: tell libvirt so`,
    command: `virsh snapshot-current ${virshWord(domain)} --snapshotname ${quote(right.name)}`,
  };
}

/** libvirt 9.0 finds the files of a chain only while QEMU has them open. */
function deletingLine(
  domain: Domain,
  snapshot: Snapshot,
  target: string,
  daemonVersion: DaemonVersion,
): string {
  const overlay = externalDisks(snapshot).find((disk) => disk.target === target)?.source;
  const isTop = domain.disks.some((disk) => disk.target === target && disk.source === overlay);
  return isTop || isActive(domain.state) || !isBefore(daemonVersion, FINDS_CHAIN)
    ? kvmsnapLine('delete', [domain.name, snapshot.name])
    : pausedDeleteLine(domain, snapshot.name);
}
