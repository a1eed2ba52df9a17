import { adviseDeletion } from '../../model/deletion-advice.ts';
import { formatOfDriver, isActive } from '../../model/domain.ts';
import { chainOf, type DiskImage, tagsIn, tagsNamed } from '../../model/image.ts';
import {
  HANDLES_VOLUMES_OFF,
  ifBefore,
  isBefore,
  RESETS_NVRAM,
  REVERTS_EXTERNAL,
  STARTS_ANEW,
} from '../../model/libvirt-versions.ts';
import { couldBeId } from '../../model/names.ts';
import { kvmsnapLine, virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import {
  externalDisks,
  hasMemory,
  internalDisks,
  locationOf,
  type Snapshot,
  stateFile,
} from '../../model/snapshot.ts';
import { oldestFirst } from '../../model/tree.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, type ImageUse, usesOf } from '../../sharing/image-users.ts';
import { bitmapFindings } from '../../vm/bitmap-rules.ts';
import { copyCommand, nextTagId, participants, tagWithId, whatIsBroken } from '../../vm/disk-findings.ts';
import { type Moved, movedDisks, movedFindings } from '../../vm/moved.ts';
import { lostStoredVolumes } from '../../vm/volume-rules.ts';
import { CHECKPOINT_REVERT_RULES } from './checkpoint.ts';
import { EXTERNAL_STATE_RULES, holdsItsState, removedFiles } from './external-state.ts';
import type { RevertFacts } from './facts.ts';
import { PARTIAL_REVERT_RULES } from './partial.ts';
import { SHARED_FILES } from './sharing.ts';
import { STORED_DEFINITION_RULES, storedDifferences } from './stored-definition.ts';
import { UNMANAGED_REVERT_RULES } from './unmanaged.ts';
import { WRITE_REVERT_RULES } from './write.ts';

/** The rules that decide, before anything is touched, whether a revert can work, and what it will change. */

export const REVERT_RULES: readonly Rule<RevertFacts>[] = [
  SHARED_FILES,
  {
    id: 'volume-not-found',
    hazards: [46],
    severity: 'error',
    find: ({ snapshot }) => lostStoredVolumes(snapshot),
  },
  {
    id: 'volume-on-old-daemon',
    hazards: [46],
    severity: 'error',
    // 7.0 stops the running guest, and then fails
    find: ({ snapshot, daemonVersion }) => {
      const does = 'cannot revert to a snapshot without memory in a volume of a storage pool';
      const older = ifBefore(daemonVersion, HANDLES_VOLUMES_OFF, does);
      if (older === null || hasMemory(snapshot) || internalDisks(snapshot).length === 0) return [];
      return snapshot.definedDisks.flatMap(({ target, pool }) =>
        pool ? [{ what: `disk ${target} is a volume, and ${older}` }] : [],
      );
    },
  },
  {
    id: 'moved',
    hazards: [45],
    severity: 'error',
    find: (facts) => movedFindings(facts, facts.snapshot, moved(facts)),
  },
  {
    id: 'missing-tag',
    hazards: [2, 3, 24],
    severity: 'error',
    find: (facts) => {
      const { snapshot, images, users } = facts;
      const isMoved = new Set(moved(facts).map(({ target }) => target));
      return internalDisks(snapshot)
        .filter(({ target }) => !isMoved.has(target))
        .flatMap(
          ({ target, source }) =>
            tagFinding(facts, target, source, images.get(target), usesOf(users, source)) ?? [],
        );
    },
  },
  {
    id: 'name-is-an-id',
    hazards: [31],
    severity: 'error',
    find: ({ snapshot, images }) =>
      internalDisks(snapshot).flatMap(({ target, source }) => {
        const other = tagWithId(images.get(target), snapshot.name);
        if (!other) return [];
        const path = source ?? '';
        return [
          {
            what: `disk ${target}: in ${source} the snapshot '${other.name}' has the id ${other.id}, and QEMU, which looks for an id before a name, would bring that one back`,
            hint: `delete '${other.name}' if you can do without it; or copy what '${snapshot.name}' holds into a new image`,
            command: copyCommand(
              { path, format: 'qcow2' },
              snapshot.name,
              '-l',
              `snapshot.name=${snapshot.name}`,
            ),
          },
        ];
      }),
  },
  {
    id: 'name-may-be-an-id',
    hazards: [31],
    severity: 'warning',
    find: ({ snapshot, images }) =>
      couldBeId(snapshot.name)
        ? internalDisks(snapshot)
            .filter(({ target }) => images.get(target)?.kind === 'unseen')
            .map(({ target }) => ({
              what: `disk ${target} could not be looked at, and '${snapshot.name}' is a number: should another snapshot in it have that for its id, QEMU brings that one back, and nobody tells`,
            }))
        : [],
  },
  {
    id: 'missing-memory',
    hazards: [3],
    severity: 'error',
    find: ({ snapshot, images }) => {
      if (snapshot.memory.location !== 'internal') return [];
      const tags = internalDisks(snapshot).map(({ target }) => tagsNamed(images.get(target), snapshot.name));
      const allSeen = internalDisks(snapshot).every(({ target }) => images.get(target)?.kind === 'seen');
      if (
        !allSeen ||
        tags.some((found) => found.length !== 1) ||
        tags.flat().some((tag) => tag.vmStateBytes > 0)
      )
        return [];
      return [{ what: `'${snapshot.name}' is a snapshot of a running VM, but no disk holds its memory` }];
    },
  },
  ...CHECKPOINT_REVERT_RULES,
  ...UNMANAGED_REVERT_RULES,
  ...PARTIAL_REVERT_RULES,
  {
    id: 'external-on-old-daemon',
    hazards: [17],
    severity: 'error',
    find: (facts) => {
      const { snapshot, daemonVersion, images } = facts;
      const older = ifBefore(daemonVersion, REVERTS_EXTERNAL, 'cannot revert to external snapshots');
      if (older === null || locationOf(snapshot) === 'internal') return [];
      const [state] = externalDisks(snapshot).flatMap(({ target }) => chainOf(images.get(target))[0] ?? []);
      return [
        {
          what: `'${snapshot.name}' is external, and ${older}`,
          ...(state === undefined || !holdsItsState(facts)
            ? {}
            : {
                hint: `what it holds is in ${state.path}, and can be copied from there`,
                command: copyCommand(state, snapshot.name),
              }),
        },
      ];
    },
  },
  {
    id: 'missing-state',
    hazards: [24, 36],
    severity: 'error',
    find: ({ domain, snapshot, snapshots, images }) =>
      externalDisks(snapshot).flatMap(({ target }) => {
        const image = images.get(target);
        if (image?.kind !== 'broken') return [];
        return {
          what: `disk ${target}: ${image.path}, which holds what '${snapshot.name}' kept, ${whatIsBroken(image)}`,
          ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
            hint: 'restore the file; or, if it will not come back, have libvirt forget the snapshot',
            options: ['--metadata'],
          }),
        };
      }),
  },
  {
    id: 'missing-memory-file',
    hazards: [36],
    severity: 'error',
    find: ({ domain, snapshot, snapshots, memoryThere }) =>
      memoryThere === false
        ? [
            {
              what: `the memory of '${snapshot.name}' is to be in ${snapshot.memory.file}, which is missing; libvirt would stop a running guest, and then fail`,
              ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                hint: 'restore the file; or, if it will not come back, delete the snapshot',
              }),
            },
          ]
        : [],
  },
  {
    id: 'reset-nvram-on-old-daemon',
    hazards: [15],
    severity: 'error',
    find: ({ resetNvram, daemonVersion }) => {
      const older = ifBefore(daemonVersion, RESETS_NVRAM, 'cannot reset the NVRAM');
      return resetNvram && older !== null ? [{ what: older }] : [];
    },
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'overridable',
    find: ({ domain, snapshot }) =>
      domain.managedSave && !hasMemory(snapshot)
        ? [
            {
              what: 'the VM has a managed save, and its memory would not fit the disks after the revert',
              hint: 'drop the saved memory, or use --force',
              command: `virsh managedsave-remove ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'abandoned-overlay',
    hazards: [17],
    severity: 'overridable',
    find: (facts) =>
      abandoned(facts).map(({ target, active, source, ruined }) => ({
        what: `disk ${target}: the VM now uses ${active}, but the snapshot is in ${source}; a revert leaves ${active} behind, with all that was written to it${ruined.length === 0 ? '' : `, and makes useless what lies on ${source}: ${ruined.map((name) => `'${name}'`).join(', ')}`}`,
        hint: '--force if that is what you want; the file itself stays',
      })),
  },
  {
    id: 'backup-in-overlay',
    hazards: [17],
    severity: 'error',
    find: (facts) =>
      facts.backup
        ? abandoned(facts).map(({ target, active, format, source }) => ({
            what: `disk ${target}: a backup would be in ${active}, which lies on ${source}, and that is what the revert changes: it would be useless`,
            hint: 'without --backup; what the disk holds now can be copied first',
            command: copyCommand({ path: active, format }, 'backup'),
          }))
        : [],
  },
  {
    id: 'backup-takes-the-id',
    hazards: [31],
    severity: 'error',
    find: ({ backup, domain, snapshot, active }) => {
      const { name } = snapshot;
      if (!backup) return [];
      return internalDisks(snapshot).flatMap(({ target, source }) => {
        if (nextTagId(active.get(target)) !== name) return [];
        const line = (command: string, other: string) =>
          kvmsnapLine(command, [domain.name, `${other}-${name}`]);
        return {
          what: `disk ${target}: in ${source} the backup would get the id ${name}, and QEMU, which looks for an id before a name, would bring that one back instead of '${name}'`,
          hint: 'take the backup behind another one that uses up that id, and then revert without --backup',
          command: `${line('create-as', 'id')} && ${line('create-as', 'before')} && ${line('delete', 'id')}`,
        };
      });
    },
  },
  {
    id: 'tags-in-overlay',
    hazards: [32],
    severity: 'overridable',
    find: (facts) => {
      const removed = removedFiles(facts);
      return facts.domain.disks.flatMap(({ target }) => {
        const image = facts.active.get(target);
        const path = topOf(image);
        const names = tagsIn(image).map(({ name }) => `'${name}'`);
        if (names.length === 0 || path === null || !removed.includes(path)) return [];
        return {
          what: `disk ${target}: ${path}, which the VM now uses, holds the internal ${names.length === 1 ? 'snapshot' : 'snapshots'} ${names.join(', ')}, and libvirt removes it`,
          hint: 'copy what you need of it first; --force if you can do without',
        };
      });
    },
  },
  {
    id: 'dirty-bitmaps',
    hazards: [43],
    severity: 'error',
    find: ({ domain, images, snapshot }) =>
      bitmapFindings(
        { domain, images },
        internalDisks(snapshot).map(({ target }) => target),
        'QEMU goes back to no snapshot in such an image: a running guest would be lost',
      ),
  },
  ...WRITE_REVERT_RULES,
  ...STORED_DEFINITION_RULES,
  ...EXTERNAL_STATE_RULES,
];

const moved = ({ snapshot, active, images }: RevertFacts): Moved[] => movedDisks(snapshot, active, images);

interface Abandoned {
  readonly target: string;
  readonly active: string;
  /** Of the active one. */
  readonly format: string;
  /** The image below it that the snapshot is in, and that a revert changes. */
  readonly source: string;
  /** Snapshots that lie on what is changed. */
  readonly ruined: readonly string[];
}

/** The overlays that a revert to an internal snapshot leaves behind, because that is in an image below them. */
function abandoned(facts: RevertFacts): Abandoned[] {
  const { domain, snapshot, snapshots } = facts;
  const now = new Map(domain.disks.map((disk) => [disk.target, disk]));
  const isMoved = new Set(moved(facts).map(({ target }) => target));
  // two disks may have changed their places
  const staying = new Set(snapshot.definedDisks.map(({ source }) => source));
  return internalDisks(snapshot).flatMap(({ target, source }) => {
    const disk = now.get(target);
    const active = disk?.source ?? null;
    if (!disk || source === null || active === null || staying.has(active) || isMoved.has(target)) return [];
    const format = formatOfDriver(disk.driver);
    return [{ target, active, format, source, ruined: lyingOn(snapshots, target, source) }];
  });
}

/** The snapshots that keep a disk's state by an overlay over this file, or in such overlays, oldest first. */
function lyingOn(snapshots: readonly Snapshot[], target: string, base: string): string[] {
  const changed = new Set([base]);
  const ruined: string[] = [];
  for (const snapshot of oldestFirst(snapshots)) {
    const disk = snapshot.disks.find((each) => each.target === target);
    if (!disk) continue;
    const state = stateFile(snapshot, disk);
    const overlay = disk.location === 'external' ? disk.source : null;
    const isOwn = overlay === null && state === base; // the image itself keeps these
    if (state === null || isOwn || !changed.has(state)) continue;
    ruined.push(snapshot.name);
    if (overlay !== null) changed.add(overlay);
  }
  return ruined;
}

const topOf = (image: DiskImage | undefined): string | null => chainOf(image)[0]?.path ?? null;

/** What a revert changes beside the disks' content, to be said before it (hazards 16, 18, 29). */
export function revertConsequences(facts: RevertFacts, end: string): string[] {
  const { domain, snapshot, daemonVersion } = facts;
  const kept = new Set(snapshot.definedDisks.map((disk) => disk.target));
  const others =
    snapshot.definedDisks.length === 0 ? [] : participants(domain).filter((disk) => !kept.has(disk.target));
  const before = new Map(
    snapshot.definedDisks.flatMap(({ target, source }) => (source === null ? [] : [[source, target]])),
  );
  const renamed = others.flatMap(({ target, source }) => {
    const then = source === null ? undefined : before.get(source);
    return then === undefined ? [] : [{ target, then }];
  });
  const lost = others.filter(({ target }) => !renamed.some((disk) => disk.target === target));
  const said: string[] = renamed.map(
    ({ target, then }) => `disk ${target} will be ${then} again, as it was when the snapshot was taken`,
  );
  const differences = storedDifferences(facts);
  if (differences !== null) said.push(...differences);
  else if (lost.length > 0) {
    const names = lost.map((disk) => `${disk.target} (${disk.source ?? disk.storage})`).join(', ');
    said.push(`added since and taken away from the VM by the revert: disk ${names}; the file itself stays`);
  }
  said.push(...newOverlays(facts));
  if (end === 'shutoff' && snapshot.state === 'disk-snapshot')
    said.push(
      `'${snapshot.name}' was taken of a running VM, without its memory: --running starts it from its disks`,
    );
  if (isActive(domain.state) && end === 'shutoff')
    said.push(`the VM is ${domain.state}, and will be stopped as if its power were cut`);
  const anew = !isBefore(daemonVersion, STARTS_ANEW) || snapshot.state === 'shutoff';
  if (isActive(domain.state) && end !== 'shutoff' && anew) {
    const isSure = daemonVersion !== null || snapshot.state === 'shutoff';
    const started = isSure ? 'is started anew' : 'may be started anew (libvirtd does not tell its version)';
    said.push(`QEMU ${started}: consoles and displays drop, and the id changes`);
  }
  return said;
}

/** What libvirt does with the overlays in use: it lays new ones over what the snapshot kept, and removes some. */
function newOverlays(facts: RevertFacts): string[] {
  const { domain, snapshot, images } = facts;
  const now = new Map(domain.disks.map((disk) => [disk.target, disk.source]));
  const removed = removedFiles(facts);
  const said = externalDisks(snapshot).flatMap(({ target }) => {
    const state = topOf(images.get(target));
    const active = now.get(target) ?? null;
    if (state === null || active === null) return [];
    const fate = removed.includes(active)
      ? `${facts.daemonVersion === null ? 'may be' : 'is'} removed, with all that was written to it (--backup keeps it)`
      : 'is left, with all that was written to it';
    return [`disk ${target}: a new overlay is laid over ${state}; ${active} ${fate}`];
  });
  const inUse = new Set(now.values());
  const others = removed.filter((path) => !inUse.has(path));
  const media = said.length === 0 ? [] : (snapshot.otherDisks ?? []);
  return [
    ...said,
    ...media.map(
      ({ target, source }) => `disk ${target}: a new overlay is laid over ${source} too, and takes its place`,
    ),
    ...others.map((path) => `${path} is removed, with all that was written to it`),
  ];
}

/**
 * Whether virsh must be told `--force` to do what the user asked for: an older libvirtd wants it where a running VM
 * is to run again from a snapshot that holds no memory, and all that it gives up there is the running QEMU.
 */
export function revertNeedsForce({ domain, snapshot, daemonVersion }: RevertFacts, end: string): boolean {
  return (
    isActive(domain.state) &&
    end !== 'shutoff' &&
    snapshot.state === 'shutoff' &&
    isBefore(daemonVersion, STARTS_ANEW)
  );
}

/** The state in which a revert leaves the VM, as 7.0 to 12.8 do it. */
export function stateAfterRevert(snapshot: Snapshot, want: { running?: boolean; paused?: boolean }): string {
  if (want.running) return 'running';
  if (want.paused) return 'paused';
  return snapshot.state === 'disk-snapshot' ? 'shutoff' : snapshot.state;
}

function tagFinding(
  { domain, snapshot, snapshots }: RevertFacts,
  target: string,
  source: string | null,
  image: DiskImage | undefined,
  users: readonly ImageUse[],
): Finding | null {
  if (image?.kind === 'broken') return { what: `disk ${target}: ${image.path} ${whatIsBroken(image)}` };
  if (image?.kind !== 'seen') return null;
  const found = tagsNamed(image, snapshot.name);
  if (found.length === 1) return null;
  if (found.length === 0) {
    return {
      what: `disk ${target}: ${source} does not hold the snapshot '${snapshot.name}'; a revert would change the other disks only, or lose the running guest`,
      ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
        hint: 'restore the image from a backup, or drop this snapshot',
      }),
    };
  }
  const ids = found.map((tag) => tag.id).join(', ');
  const what = `disk ${target}: ${source} holds ${found.length} snapshots called '${snapshot.name}' (ids ${ids}), and which one a revert takes is chance`;
  // nobody can tell whose the older one is
  if (users.length > 0) return { what: `${what}; ${describeUses(users)}` };
  return {
    what,
    hint: 'with the VM off, this deletes the older one of them',
    command: deleteTagLine(snapshot.name, source ?? ''),
  };
}
