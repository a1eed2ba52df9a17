import { pausedDeleteLines } from '../../delete/rules/external-chain.ts';
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
  changeSince,
  interruptedMerges,
  isBeingMerged,
  isProven,
  isUntouched,
  keepsIn,
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
            ? {
                what: `disk ${target}: another process is deleting ${inText(snapshot.name)} now`,
                hint: 'wait until it has finished',
              }
            : {
                what: `disk ${target}: a deletion of ${inText(snapshot.name)} was interrupted, and ${path}, which contained its state, is half overwritten`,
                ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                  hint: 'finish the deletion; the present content of the disk stays as it is',
                  lines: deletionLines(domain, snapshot, target, daemonVersion),
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
        if (state.isBelow) return null;
        if (later === null && (!state.isInUse || isUntouched(snapshot, state))) return null;
        const why = state.isInUse
          ? 'is in use by the VM now'
          : `was in use again later: snapshot ${inText(later ?? '')} was taken on top of it`;
        return {
          what: `disk ${state.target}: ${state.path}, which contained the state of ${inText(snapshot.name)}, ${why}, so the snapshot has lost its content`,
          ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
            hint: 'unregister the snapshot from libvirt; all files stay',
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
        const isReported =
          locationOf(snapshot) === 'internal' ||
          (state.isBelow
            ? isBeingMerged(snapshots, state)
            : state.isInUse || takenOnItLater(snapshots, snapshot, state) !== null) ||
          interruptedMerges(snapshots).some(({ ruined }) => ruined.includes(snapshot.name));
        const change = changeSince(state);
        if (isReported || change === null) return null;
        if (state.isBelow) return changedBelow(facts, state, change);
        return {
          what: `disk ${state.target}: ${state.path}, which contains the disk content of snapshot ${inText(snapshot.name)}, ${change}. An interrupted deletion or another program has changed it`,
          hint: 'if the file was only repaired, copied or restored, its content is good: use --force. If not, delete the snapshot; the present content of the disks stays',
          commands: deletionLines(domain, snapshot, state.target, daemonVersion),
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
              what: `disk ${place.target}: for a revert to ${inText(snapshot.name)}, libvirt creates a new overlay on top of ${place.path} too, but ${why}: a running VM would stop, and its memory would be lost`,
              ...cure,
            };
          }),
  },
  {
    id: 'no-current',
    hazards: [42],
    severity: 'error',
    // libvirtd 11.3 and 12.8 use the current snapshot without checking that there is one
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
          what: `libvirt regards ${inText(current ?? '')} as the current snapshot, so a revert to ${inText(snapshot.name)} would remove ${path}, which ${user} needs`,
          ...rightCurrent(facts, domain),
        };
      });
    },
  },
];

/** The size of an empty overlay in bytes, with its tables. */
const OVERLAY_BYTES = 256 * 1024;

/** Why libvirt cannot create an overlay in the directory of a file; null if it can. */
function overlayObstacle({
  path,
  isFile,
  directory,
  freeBytes = null,
}: OverlayTarget): ({ readonly why: string } & Pick<Finding, 'hint' | 'command'>) | null {
  if (!isFile) return { why: 'it is not a file' };
  if (directory === 'read-only')
    return {
      why: 'its file system is read-only',
      hint: 'make the file system writable for the revert',
    };
  if (directory === 'immutable')
    return {
      why: 'its directory is immutable (chattr +i)',
      hint: 'make the directory writable for the revert',
      command: commandLine('chattr', ['-i', directoryOf(path) || '/']),
    };
  if (freeBytes !== null && freeBytes < OVERLAY_BYTES)
    return { why: 'its file system is full', hint: 'free some space on it first; 1 MiB is enough' };
  return null;
}

/**
 * The finding about a backing file of the state. A deletion that was interrupted while it merged into that file has lost nothing of
 * this snapshot: what it wrote there is still in the overlay above.
 */
function changedBelow(
  { domain, snapshot, snapshots, daemonVersion }: RevertFacts,
  state: StateFile,
  change: string,
) {
  const { target, path } = state;
  const keeper = snapshots.find((each) => keepsIn(each, target, path));
  const isGood = 'if the file was only repaired, copied or restored, its content is good: use --force';
  return {
    what: `disk ${target}: ${path}, which contains a part of the disk content of snapshot ${inText(snapshot.name)}, ${change}. An interrupted deletion or another program has changed it`,
    ...(keeper === undefined
      ? { hint: isGood }
      : {
          hint: `${isGood}. If a deletion of ${inText(keeper.name)} was interrupted, finish it: ${inText(snapshot.name)} is complete then`,
          commands: deletionLines(domain, keeper, target, daemonVersion),
        }),
  };
}

/** Calls `find` for each file that contains a part of the state to revert to. */
function eachState({ states = [] }: RevertFacts, find: (state: StateFile) => Finding | null): Finding[] {
  return states.flatMap((state) => find(state) ?? []);
}

/**
 * The files that libvirt removes in this revert. With a backup there are none, because the backup becomes the current
 * snapshot and is internal.
 */
export function removedFiles({ snapshot, snapshots, current, backup, daemonVersion }: RevertFacts): string[] {
  if (backup || isBefore(daemonVersion, REVERTS_EXTERNAL)) return [];
  return removedByRevert(snapshots, snapshot, current);
}

/** Whether the files of this snapshot provably still contain its state. */
export const holdsItsState = ({ snapshot, snapshots, states = [] }: RevertFacts): boolean =>
  isProven(snapshots, snapshot, states);

/**
 * What would be broken without this file; null if nothing needs it. The active image of a disk does not count, because
 * every revert abandons it.
 */
function userOf({ domain, snapshots, images, active, snapshot }: RevertFacts, path: string): string | null {
  const keeper = snapshots.find((each) => externalDisks(each).some((disk) => stateFile(each, disk) === path));
  if (keeper) return `snapshot ${inText(keeper.name)}`;
  if ([...images.values()].some((image) => chainPaths(image).includes(path)))
    return `snapshot ${inText(snapshot.name)}`;
  const disk = domain.disks.find(({ target }) => chainPaths(active.get(target)).slice(1).includes(path));
  return disk ? `disk ${disk.target} of the VM` : null;
}

/** The advice to set the right current snapshot: the one whose overlays the VM uses. */
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
      hint: `make the snapshot current from which the VM has continued, with virsh snapshot-current ${virshWord(domain)} --snapshotname NAME`,
    };
  return {
    hint: `the VM has continued from ${inText(right.name)}: make that the current snapshot`,
    command: `virsh snapshot-current ${virshWord(domain)} --snapshotname ${quote(right.name)}`,
  };
}

/** The command lines that delete a snapshot. libvirt 9.0 finds the files of a chain only while QEMU has them open. */
function deletionLines(
  domain: Domain,
  snapshot: Snapshot,
  target: string,
  daemonVersion: DaemonVersion,
): string[] {
  const overlay = externalDisks(snapshot).find((disk) => disk.target === target)?.source;
  const isTop = domain.disks.some((disk) => disk.target === target && disk.source === overlay);
  return isTop || isActive(domain.state) || !isBefore(daemonVersion, FINDS_CHAIN)
    ? [kvmsnapLine('delete', [domain.name, snapshot.name])]
    : pausedDeleteLines(domain, snapshot.name);
}
