import { isActive } from '../../model/domain.ts';
import { chainOf } from '../../model/image.ts';
import { kvmsnapLine, virshWord } from '../../model/quote.ts';
import { type SnapshotReport, tagsOf } from '../../model/report.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { internalDisks } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, usesOf } from '../../sharing/image-users.ts';
import { whatIsBroken } from '../../vm/findings/disks.ts';
import { deletionSetOf } from '../deletion-set.ts';
import type { DeleteFacts } from './facts.ts';
import { imagesOf, movedOf } from './location.ts';

/**
 * Rules about internal snapshots: whether libvirt finds each of them in the images exactly once, and can delete it.
 */

export const INTERNAL_RULES: readonly Rule<DeleteFacts>[] = [
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
          const what = `disk ${disk.target} contains ${found} snapshots named ${inText(member.name)}, and libvirt would delete only the older one`;
          const users = usesOf(facts.users, disk.source);
          // the older one may belong to another VM, so no command is offered
          if (users.length > 0) return { what: `${what}; ${describeUses(users)}` };
          return {
            what,
            hint: 'delete the older one first, while the VM is off',
            command: deleteTagLine(member.name, disk.source ?? ''),
          };
        }),
      ),
  },
  {
    id: 'encrypted-image',
    hazards: [],
    severity: 'error',
    // virsh removes the metadata and exits with 0, but the tag stays in the encrypted image
    find: (facts) =>
      isActive(facts.domain.state)
        ? []
        : deletionSetOf(facts).flatMap((member) =>
            internalDisks(member).flatMap(({ target }) => {
              const [image] = chainOf(imagesOf(facts, member).get(target));
              if (!image?.encrypted) return [];
              return {
                what: `disk ${target} (${image.path}): the image is encrypted, and libvirt does not pass the key to qemu-img while the VM is off, so ${inText(member.name)} would be deleted only from the other disks`,
                hint: 'start the VM first',
                command: `virsh start ${virshWord(facts.domain)}`,
              };
            }),
          ),
  },
];

/** The tags that would be deleted, each with the image that libvirt deletes it from. */
export function internalMembers(facts: DeleteFacts) {
  const active = new Map(
    facts.domain.disks.map(({ target, source, address }) => [target, source ?? address]),
  );
  return deletionSetOf(facts).flatMap(({ name, ...member }) =>
    internalDisks({ ...member, name }).map(({ target, source, address }) => ({
      name,
      target,
      path: source ?? address ?? active.get(target) ?? null,
    })),
  );
}

/** virsh would remove the metadata and exit with 0, while the data stays in an image that cannot be opened. */
function missingImage(facts: DeleteFacts, member: SnapshotReport, target: string): readonly Finding[] {
  const { domain } = facts;
  const { name } = member;
  const image = imagesOf(facts, member).get(target);
  if (image?.kind !== 'broken' || movedOf(facts, member).some((moved) => moved.target === target)) return [];
  return [
    {
      what: `disk ${target}: ${image.path} ${whatIsBroken(image)}, so ${inText(name)} cannot be deleted from it`,
      hint: 'restore the file; or, if it is lost, unregister the snapshot from libvirt',
      command: kvmsnapLine('delete', [domain.name, name], '--metadata'),
    },
  ];
}
