import { adviseDeletion } from '../../model/deletion-advice.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { stateFiles } from '../../model/domain-files.ts';
import { chainOf, chainPaths } from '../../model/image.ts';
import {
  DELETES_EXTERNAL,
  FINDS_CHAIN,
  ifBefore,
  isBefore,
  isFrom,
  MINDS_BRANCHES,
  REMOVES_MEMORY,
  SPARES_INTERNAL,
} from '../../model/libvirt-versions.ts';
import { mebibytes } from '../../model/mebibytes.ts';
import { kvmsnapLine, virshWord } from '../../model/quote.ts';
import { type SnapshotReport, tagsOf } from '../../model/report.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks, internalDisks, locationOf, stateFile } from '../../model/snapshot.ts';
import { ancestors, descendants } from '../../model/tree.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { accounting, describeUses, opening, seeing, shutDown, usesOf } from '../../sharing/image-users.ts';
import { undeletable } from '../../vm/chain-depth.ts';
import { whatIsBroken } from '../../vm/disk-findings.ts';
import { interruptedMerges } from '../../vm/external-state.ts';
import { deletionOf, deletionSetOf } from '../deletion-set.ts';
import type { DeleteFacts } from './facts.ts';
import { imagesOf, isInVolume, movedOf, PLACE_RULES } from './location.ts';
import { partialDeletion } from './partial.ts';
import { WRITE_DELETE_RULES } from './write.ts';

/**
 * The rules that decide, before anything is touched, whether a delete can work, and whether libvirt would take more with
 * it than was asked for. An external snapshot goes in one of two ways (qemu_snapshot.c): the overlay that it made is merged
 * into the file below and removed; or, where it has no children and is not the current one, the file that holds its state is
 * removed.
 */

export const DELETE_RULES: readonly Rule<DeleteFacts>[] = [
  ...PLACE_RULES,
  {
    id: 'missing-image',
    hazards: [24],
    severity: 'error',
    find: (facts) =>
      deletionSetOf(facts).flatMap((member) =>
        member.disks.flatMap(({ target }) => missingImage(facts, member, target)),
      ),
  },
  {
    id: 'duplicate-tag',
    hazards: [4],
    severity: 'error',
    find: (facts) =>
      deletionSetOf(facts).flatMap((member) =>
        internalDisks(member).flatMap((disk) => {
          const found = tagsOf(member, disk, imagesOf(facts, member))?.length ?? 0;
          if (found < 2) return [];
          const what = `disk ${disk.target} holds ${found} snapshots called '${member.name}', and libvirt would delete the older one only`;
          const users = usesOf(facts.users, disk.source);
          // nobody can tell whose the older one is
          if (users.length > 0) return { what: `${what}; ${describeUses(users)}` };
          return {
            what,
            hint: 'with the VM off, delete the older one first',
            command: deleteTagLine(member.name, disk.source ?? ''),
          };
        }),
      ),
  },
  {
    id: 'encrypted-image',
    hazards: [],
    severity: 'error',
    // virsh forgets it, exit 0, and it stays in the image that has a key
    find: (facts) =>
      isActive(facts.domain.state)
        ? []
        : deletionSetOf(facts).flatMap((member) =>
            internalDisks(member).flatMap(({ target }) => {
              const [image] = chainOf(imagesOf(facts, member).get(target));
              if (!image?.encrypted) return [];
              return {
                what: `disk ${target} (${image.path}): the image is encrypted, and libvirt does not hand the key to qemu-img for a VM that is off, so '${member.name}' would be deleted in the other disks only`,
                hint: 'start the VM first',
                command: `virsh start ${virshWord(facts.domain)}`,
              };
            }),
          ),
  },
  {
    id: 'external-on-old-daemon',
    hazards: [23],
    severity: 'error',
    find: (facts) => {
      const older = ifBefore(facts.daemonVersion, DELETES_EXTERNAL, 'cannot delete external snapshots');
      return older === null
        ? []
        : externalMembers(facts).map((member) => ({
            what: `'${member.name}' is external, and ${older}`,
            ...forget(facts, member),
          }));
    },
  },
  {
    id: 'external-below',
    hazards: [23],
    severity: 'error',
    find: (facts) => {
      const external = externalMembers(facts);
      if (facts.scope === 'only' || external.length === 0 || !isFrom(facts.daemonVersion, DELETES_EXTERNAL))
        return [];
      // an external one is not merged into an image below an internal one, which has to go before it
      const newestFirst = deletionSetOf(facts).toReversed();
      const internal = newestFirst.filter((each) => locationOf(each) === 'internal');
      const names = [...internal, ...newestFirst.filter((each) => !internal.includes(each))].map(
        ({ name }) => name,
      );
      return [
        {
          what: `${nameAll(external)} ${external.length === 1 ? 'is' : 'are'} external, and libvirt deletes such ones only one by one`,
          hint: internal.length === 0 ? 'the newest first' : 'with the VM off, in this order',
          command: kvmsnapLine('delete', [facts.domain.name, ...names]),
        },
      ];
    },
  },
  external('several-children', [23], ({ snapshot }) =>
    snapshot.children.length > 1
      ? [
          {
            what: `'${snapshot.name}' is external and has several children (${nameAll(named(snapshot.children))}), and libvirt can merge it into one only`,
            hint: 'delete all of them but one first',
          },
        ]
      : [],
  ),
  external('current-with-children', [23], ({ domain, snapshot, snapshots, current }) =>
    snapshot.name === current && snapshot.children.length > 0
      ? [
          {
            what: `'${snapshot.name}' is external, the current snapshot, and has children, and libvirt deletes no such one`,
            ...adviseDeletion({ domain, snapshots }, snapshot.children.toReversed(), {
              hint: 'delete its children first, from the newest on',
            }),
          },
        ]
      : [],
  ),
  external('outside-the-chain', [23], ({ domain, snapshot, snapshots, current }) =>
    snapshot.children.length > 0 &&
    current !== null &&
    current !== snapshot.name &&
    !ancestors(snapshots, current).includes(snapshot.name)
      ? [
          {
            what: `'${snapshot.name}' is external, with children, and not one that the VM's disks now lie on, and libvirt deletes no such one`,
            ...adviseDeletion(
              { domain, snapshots },
              descendants(snapshots, snapshot.name)
                .map(({ name }) => name)
                .reverse(),
              { hint: 'delete what is below it first, from the newest on' },
            ),
          },
        ]
      : [],
  ),
  external('merge-target', [40], ({ domain, snapshot, snapshots }) =>
    interruptedMerges(snapshots)
      .filter(({ marked }) => marked === snapshot.name && !domain.busy)
      .map(({ target, path, ruined: [first] }) => ({
        what: `disk ${target}: a deletion that merges into ${path}, which '${snapshot.name}' made, was interrupted, and libvirt deletes '${snapshot.name}' only after that`,
        ...(first === undefined
          ? {
              hint: 'it no longer knows the snapshot that was to be deleted; it can forget this one too, and every file stays',
              command: kvmsnapLine('delete', [domain.name, snapshot.name], '--metadata'),
            }
          : adviseDeletion({ domain, snapshots }, [first, snapshot.name], {
              hint: `finish the deletion of '${first}' first`,
            })),
      })),
  ),
  external('chain-too-deep', [38], undeletable),
  external('unknown-chain', [23], (facts) => {
    const { domain, snapshot, daemonVersion, images } = facts;
    if (isFrom(daemonVersion, FINDS_CHAIN)) return [];
    return externalDisks(snapshot).flatMap(({ target, source }) => {
      const disk = domain.disks.find((each) => each.target === target);
      if (!disk || source === null || [disk.source, ...disk.backing].includes(source)) return [];
      if (!chainPaths(images.get(target)).includes(source)) {
        return {
          what: `disk ${target}: the VM's disk does not lie on ${source}, which '${snapshot.name}' made, and this libvirtd (9.0) then deletes nothing`,
          ...forget(facts, snapshot),
        };
      }
      return isActive(domain.state)
        ? []
        : {
            what: `disk ${target}: ${source}, which '${snapshot.name}' made, is not the one in use, and this libvirtd (9.0) finds it only while the VM runs`,
            hint: 'start the VM, without letting it run, delete, and end it',
            command: pausedDeleteLine(domain, snapshot.name),
          };
    });
  }),
  external('internal-parent', [23], (facts) => {
    if (deletionOf(facts) !== 'merge') return [];
    const { domain, snapshot } = facts;
    const lying = externalDisks(snapshot)
      .map(({ target }) => ({ target, internal: internalsBelow(facts, target) }))
      .filter(({ internal }) => internal.length > 0);
    if (lying.length === 0) return [];
    const below = [...new Set(lying.flatMap(({ internal }) => internal))];
    const [those, them] = below.length === 1 ? ['snapshot', 'that one'] : ['snapshots', 'those'];
    return [
      {
        what: `disk ${lying.map(({ target }) => target).join(', ')}: '${snapshot.name}' is external, on top of the internal ${those} ${nameAll(below)}, and libvirt does not merge it into ${them}`,
        ...adviseDeletion(
          facts,
          below.map(({ name }) => name),
          {
            hint: `if you can do without, delete ${them} first, ${below.length === 1 ? '' : 'in this order, '}with the VM off${isActive(domain.state) ? ' (it is not now)' : ''}`,
            lines: below.map(({ name }) => kvmsnapLine('delete', [domain.name, name])),
          },
        ),
      },
    ];
  }),
  external('partial-on-old-daemon', [23], partialDeletion),
  external('tags-in-overlay', [32], (facts) => {
    if (deletionOf(facts) !== 'merge') return [];
    return externalDisks(facts.snapshot).flatMap(({ target, source }) => {
      const overlay = chainOf(facts.images.get(target)).find(({ path }) => path === source);
      const names = overlay?.tags.map(({ name }) => name) ?? [];
      if (names.length === 0) return [];
      return {
        what: `disk ${target}: ${source}, which '${facts.snapshot.name}' made, holds the internal ${names.length === 1 ? 'snapshot' : 'snapshots'} ${nameAll(named(names))}, and libvirt would remove it with them`,
        ...adviseDeletion(facts, names, {
          hint: `delete ${names.length === 1 ? 'that' : 'these'} first if you can do without`,
        }),
      };
    });
  }),
  external('file-in-use', [33], (facts) => {
    if (deletionOf(facts) !== 'unlink') return [];
    const users = usersOf(facts);
    return filesRemoved(facts).flatMap((path) => {
      const user = users.get(path);
      if (user === undefined) return [];
      return {
        what: `libvirt would remove ${path} with '${facts.snapshot.name}', and ${user} needs it`,
        ...forget(facts, facts.snapshot),
      };
    });
  }),
  external('image-users', [37, 39], (facts) =>
    filesTouched(facts).flatMap(({ path, action, isRemoved }) => {
      const users = isRemoved ? usesOf(facts.users, path) : seeing(facts.users, path);
      if (users.length === 0) return [];
      return {
        what: `libvirt would ${action} with '${facts.snapshot.name}', and ${describeUses(users)}`,
        ...forget(facts, facts.snapshot),
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
          what: `disk ${target}: ${path} holds one snapshot '${name}' for more than one VM: ${describeUses(users)}, which would lose it`,
          hint: 'libvirt alone can forget it for this VM; the data stay in the image for the other',
          command: kvmsnapLine('delete', [facts.domain.name, name], '--metadata'),
        };
      }),
  },
  {
    id: 'image-in-use',
    hazards: [39],
    severity: 'error',
    // of a VM that is off virsh forgets the snapshot, exit 0, and qemu-img cannot take it out of the locked image
    find: (facts) =>
      isActive(facts.domain.state)
        ? []
        : internalMembers(facts).flatMap(({ name, target, path }) => {
            const users = opening(facts.users, path);
            if (users.length === 0) return [];
            return {
              what: `disk ${target}: '${name}' cannot be deleted in ${path} now: ${describeUses(users)}`,
              ...shutDown(users),
            };
          }),
  },
  ...WRITE_DELETE_RULES,
  external('daemon-crash', [34], (facts) => {
    const { snapshot, snapshots, current, daemonVersion, domain } = facts;
    if (deletionOf(facts) !== 'merge' || isFrom(daemonVersion, MINDS_BRANCHES)) return [];
    const own = new Set([current, ...(current === null ? [] : ancestors(snapshots, current))]);
    const beside = descendants(snapshots, snapshot.name).filter(
      (below) => !own.has(below.name) && locationOf(below) === 'external',
    );
    if (beside.length === 0) return [];
    return [
      {
        what: `${nameAll(beside)} below '${snapshot.name}' ${beside.length === 1 ? 'is' : 'are'} beside the VM's own branch, and libvirtd (11.3) crashes when it merges what such ones lie on`,
        ...adviseDeletion({ domain, snapshots }, beside.map(({ name }) => name).reverse(), {
          hint: 'delete these first, from the newest on',
        }),
      },
    ];
  }),
  external('managed-save', [35], (facts) => {
    const { domain, snapshot } = facts;
    if (!domain.managedSave || deletionOf(facts) !== 'merge') return [];
    return [
      {
        what: `the VM has a managed save, which names the overlay of '${snapshot.name}', and could not be started from it any more`,
        hint: 'start the VM first, and delete while it runs',
        command: `virsh start ${virshWord(domain)}`,
      },
    ];
  }),
  external('space-for-merge', [7], ({ snapshot, merges }) =>
    merges
      .filter(({ growthBytes, freeBytes }) => growthBytes > freeBytes)
      .map(({ target, base, growthBytes, freeBytes, isDevice }) => ({
        what: `disk ${target}: to merge '${snapshot.name}', ${base} grows by ${mebibytes(growthBytes)}, and ${isDevice ? 'the device' : 'its file system'} has ${mebibytes(freeBytes)} free; the merge would fill it and fail`,
        hint: isDevice
          ? 'make the device larger first (a logical volume with lvextend)'
          : 'free some space there first',
      })),
  ),
  external('block-job', [30], ({ domain }) =>
    domain.disks
      .filter(({ mirrored }) => mirrored)
      .map(({ target }) => ({
        what: `disk ${target}: a block job is under way, and libvirt deletes no external snapshot beside one`,
        hint: 'wait for its end, or abort it',
        command: `virsh blockjob ${virshWord(domain)} ${target} --abort`,
      })),
  ),
];

/** A rule about one external snapshot that is deleted alone, by a libvirt that can do that. */
function external(
  id: string,
  hazards: readonly number[],
  find: (facts: DeleteFacts) => readonly Finding[],
): Rule<DeleteFacts> {
  return {
    id,
    hazards,
    severity: 'error',
    find: (facts) =>
      facts.scope === 'only' &&
      locationOf(facts.snapshot) === 'external' &&
      isFrom(facts.daemonVersion, DELETES_EXTERNAL)
        ? find(facts)
        : [],
  };
}

/** True when an external snapshot goes. */
export function deletesExternal(facts: Pick<DeleteFacts, 'snapshot' | 'snapshots' | 'scope'>): boolean {
  return externalMembers(facts).length > 0;
}

/** True when libvirt's version decides about the delete. */
export const asksVersion = (
  facts: Pick<DeleteFacts, 'domain' | 'snapshot' | 'snapshots' | 'scope'>,
): boolean =>
  deletesExternal(facts) ||
  deletionSetOf(facts).some(
    (member) =>
      isInVolume(member) ||
      (isActive(facts.domain.state) && internalDisks(member).some(({ spelled }) => spelled)),
  );

/** Deletes while QEMU has the files open, and the guest does not run. */
export const pausedDeleteLine = (domain: Domain, name: string): string =>
  `virsh start --paused ${virshWord(domain)} && ${kvmsnapLine('delete', [domain.name, name])} && virsh destroy ${virshWord(domain)}`;

/** The files that libvirt removes where it merges nothing: those that hold the snapshot's state. */
function filesRemoved(facts: DeleteFacts): string[] {
  return externalDisks(facts.snapshot).flatMap((disk) => {
    const parent = holderBefore(facts, disk.target);
    const isMade = parent !== undefined && locationOf(parent) === 'external';
    const source = stateFile(facts.snapshot, disk);
    return source && (isMade || !isFrom(facts.daemonVersion, SPARES_INTERNAL)) ? [source] : [];
  });
}

/** The files that a delete changes or removes: a merge writes into the one below the overlay. */
function filesTouched(facts: DeleteFacts): Touched[] {
  const removed = (path: string): Touched => ({ path, action: `remove ${path}`, isRemoved: true });
  const { location, file } = facts.snapshot.memory;
  const goesToo = location === 'external' && file !== null && !isBefore(facts.daemonVersion, REMOVES_MEMORY);
  const memory = goesToo ? [removed(file)] : [];
  if (deletionOf(facts) === 'unlink') return [...filesRemoved(facts).map(removed), ...memory];
  const merged = externalDisks(facts.snapshot).flatMap((disk): Touched[] => {
    const { target, source } = disk;
    if (source === null) return [];
    const overlay = chainOf(facts.images.get(target)).find(({ path }) => path === source);
    const base = overlay?.backing ?? stateFile(facts.snapshot, disk);
    const written = (path: string): Touched => ({ path, action: `write into ${path}`, isRemoved: false });
    return [...(base === null ? [] : [written(base)]), removed(source)];
  });
  return [...merged, ...memory];
}

interface Touched {
  readonly path: string;
  readonly action: string;
  readonly isRemoved: boolean;
}

/** The tags that would go, each in the image that libvirt deletes it in. */
function internalMembers(facts: DeleteFacts) {
  const active = new Map(facts.domain.disks.map((disk) => [disk.target, disk.source]));
  return deletionSetOf(facts).flatMap(({ name, ...member }) =>
    internalDisks({ ...member, name }).map(({ target, source }) => ({
      name,
      target,
      path: source ?? active.get(target) ?? null,
    })),
  );
}

/** By path, who needs a file: the VM itself, or the other snapshots that keep their state in it. */
function usersOf({ domain, snapshot, snapshots, images }: DeleteFacts): ReadonlyMap<string, string> {
  const users = new Map<string, string>();
  for (const other of snapshots) {
    if (other.name === snapshot.name) continue;
    for (const { path } of stateFiles(other)) users.set(path, `the snapshot '${other.name}'`);
  }
  for (const { target, source } of domain.disks) {
    if (source !== null) users.set(source, `disk ${target} of the VM`);
    for (const path of chainPaths(images.get(target))) users.set(path, `disk ${target} of the VM`);
  }
  return users;
}

/** The nearest ancestor that has taken this disk too. */
const holderBefore = (facts: DeleteFacts, target: string): SnapshotReport | undefined =>
  holdersBefore(facts, target)[0];

/** The ancestors that have taken this disk too, the nearest first. */
function holdersBefore({ snapshot, snapshots }: DeleteFacts, target: string): SnapshotReport[] {
  const byName = new Map(snapshots.map((each) => [each.name, each]));
  return ancestors(snapshots, snapshot.name)
    .flatMap((name) => byName.get(name) ?? [])
    .filter((each) => each.disks.some((disk) => disk.target === target));
}

/** The internal ones among them that come before any external one: after these are gone, it is merged past them. */
function internalsBelow(facts: DeleteFacts, target: string): SnapshotReport[] {
  const holders = holdersBefore(facts, target);
  const end = holders.findIndex((each) => locationOf(each) === 'external');
  return end < 0 ? holders : holders.slice(0, end);
}

const externalMembers = (facts: Pick<DeleteFacts, 'snapshots' | 'snapshot' | 'scope'>) =>
  deletionSetOf(facts).filter((member) => locationOf(member) === 'external');

const named = (names: readonly string[]) => names.map((name) => ({ name }));

const nameAll = (all: readonly { readonly name: string }[]): string =>
  all.map(({ name }) => `'${name}'`).join(', ');

/** The way out that is always open, and what it leaves. */
const forget = ({ domain }: DeleteFacts, { name }: SnapshotReport): Pick<Finding, 'hint' | 'command'> => ({
  hint: "libvirt alone can forget it; every file stays, and the VM's disks go on as they are",
  command: kvmsnapLine('delete', [domain.name, name], '--metadata'),
});

/** virsh deletes the metadata all the same, exit 0, and the data stays in an image that cannot be opened. */
function missingImage(facts: DeleteFacts, member: SnapshotReport, target: string): readonly Finding[] {
  const { domain } = facts;
  const { name } = member;
  const image = imagesOf(facts, member).get(target);
  if (image?.kind !== 'broken' || movedOf(facts, member).some((moved) => moved.target === target)) return [];
  return [
    {
      what: `disk ${target}: ${image.path} ${whatIsBroken(image)}, so '${name}' cannot be deleted in it`,
      hint: 'restore the file; or, if it will not come back, have libvirt alone forget the snapshot',
      command: kvmsnapLine('delete', [domain.name, name], '--metadata'),
    },
  ];
}
