import { adviseDeletion } from '../../model/deletion-advice.ts';
import { type DiskImage, tagsNamed } from '../../model/image.ts';
import { HANDLES_VOLUMES_OFF, ifBefore } from '../../model/libvirt-versions.ts';
import { couldBeId } from '../../model/names.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { hasMemory, internalDisks } from '../../model/snapshot.ts';
import { diskInText, inText } from '../../model/text.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, type ImageUse, usesOf } from '../../sharing/image-users.ts';
import { copyOfSnapshot, tagWithId, whatIsBroken } from '../../vm/findings/disks.ts';
import { lostStoredVolumes } from '../../vm/findings/volumes.ts';
import { movedFileFindings } from '../../vm/moved-files.ts';
import { type Moved, movedDisks, movedFindings } from '../../vm/moved-images.ts';
import type { RevertFacts } from './facts.ts';

/**
 * Rules about the parts of an internal snapshot in the images: each disk must contain it once, where libvirt looks for it.
 */

export const INTERNAL_RULES: readonly Rule<RevertFacts>[] = [
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
    // libvirt 7.0 stops the running guest, and then fails
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
    alone: true,
    find: (facts) => [
      ...movedFindings(facts, facts.snapshot, moved(facts)),
      ...movedFileFindings(facts, facts.snapshot),
    ],
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
        const { command, caution } = copyOfSnapshot(snapshot, source ?? '');
        return [
          {
            what: `disk ${target}: in ${source ?? 'the image'}, snapshot ${inText(other.name)} has the id ${other.id}. QEMU looks for an id before a name, so it would restore ${inText(other.name)} instead`,
            hint: `delete ${inText(other.name)} if you can do without it; or copy the content of ${inText(snapshot.name)} into a new image${caution}`,
            command,
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
              what: `disk ${target} was not inspected, and ${inText(snapshot.name)} is a number: if another snapshot in the image has it as its id, QEMU restores that one without an error`,
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
      return [
        { what: `${inText(snapshot.name)} was taken of a running VM, but no disk contains its memory` },
      ];
    },
  },
];

/** The disks whose image has another path now than when the snapshot was taken. */
export const moved = ({ snapshot, active, images }: RevertFacts): Moved[] =>
  movedDisks(snapshot, active, images);

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
      what: `${diskInText({ target, source })} does not contain snapshot ${inText(snapshot.name)}; a revert would change only the other disks, or it would stop the running VM, and its memory would be lost`,
      ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
        hint: 'restore the image from a backup, or delete this snapshot',
      }),
    };
  }
  const ids = found.map((tag) => tag.id).join(', ');
  const what = `${diskInText({ target, source })} contains ${found.length} snapshots named ${inText(snapshot.name)} (ids ${ids}), and a revert may restore either of them`;
  // the older one may belong to another VM, so no command is offered
  if (users.length > 0) return { what: `${what}; ${describeUses(users)}` };
  return {
    what,
    hint: 'delete the older one while the VM is off',
    command: deleteTagLine(snapshot.name, source ?? ''),
  };
}
