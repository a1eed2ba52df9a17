import { isActive } from '../../model/domain.ts';
import { chainPaths, type Images } from '../../model/image.ts';
import { COMPARES_PATHS, HANDLES_VOLUMES_OFF, ifBefore, isBefore } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { internalDisks, type SnapshotDisk } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { lostStoredVolumes, lostVolumes } from '../../vm/findings/volumes.ts';
import { movedFileFindings } from '../../vm/moved-files.ts';
import { type Moved, movedDisks, movedFindings } from '../../vm/moved-images.ts';
import { type Deletion, deletionSetOf } from '../deletion-set.ts';
import type { DeleteFacts } from './facts.ts';

/**
 * Rules of a delete about where libvirt looks for an internal snapshot: while the VM is off, in the file of the stored
 * definition; while it runs, in the disk in use, whose path must be spelled the same.
 */

export const LOCATION_RULES: readonly Rule<DeleteFacts>[] = [
  {
    id: 'volume-not-found',
    hazards: [46],
    severity: 'error',
    find: (facts) => {
      const found = [...lostVolumes(facts.domain), ...deletionSetOf(facts).flatMap(lostStoredVolumes)];
      return [...new Map(found.map((finding) => [finding.what, finding])).values()];
    },
  },
  {
    id: 'volume-on-old-daemon',
    hazards: [46],
    severity: 'error',
    find: (facts) => {
      if (isActive(facts.domain.state)) return [];
      const does = 'cannot delete a snapshot in a volume of a storage pool while the VM is off';
      const older = ifBefore(facts.daemonVersion, HANDLES_VOLUMES_OFF, does);
      const names = deletionSetOf(facts)
        .filter(isInVolume)
        .map(({ name }) => inText(name));
      if (older === null || names.length === 0) return [];
      return [
        {
          what: `${names.join(', ')}: ${older}`,
          hint: 'start the VM first',
          command: `virsh start ${virshWord(facts.domain)}`,
        },
      ];
    },
  },
  {
    id: 'moved',
    hazards: [45],
    severity: 'error',
    // while the VM is off, libvirt deletes in the file that the stored definition names; while it runs, it compares
    // paths as text
    alone: true,
    find: (facts) =>
      deletionSetOf(facts).flatMap((member) => [
        ...movedFindings(facts, member, movedOf(facts, member)),
        ...movedFileFindings(facts, member),
      ]),
  },
  {
    id: 'other-image-in-use',
    hazards: [17],
    severity: 'error',
    // libvirt 9.0 to 12.8 refuse this; 7.0 removes the metadata and leaves the tag in the image
    find: (facts) =>
      isActive(facts.domain.state)
        ? deletionSetOf(facts).flatMap((member) => {
            const isMoved = new Set(movedOf(facts, member).map(({ target }) => target));
            return internalDisks(member)
              .filter(({ target }) => !isMoved.has(target))
              .flatMap((disk) => otherInUse(facts, member, disk));
          })
        : [],
  },
];

/** The members of the deletion set whose images the VM does not use now, or uses under another path. */
export const membersStoredElsewhere = (facts: Deletion & Pick<DeleteFacts, 'images'>): SnapshotReport[] => {
  const used = new Set([...facts.images.values()].flatMap(chainPaths));
  return deletionSetOf(facts).filter((member) =>
    internalDisks(member).some(({ source }) => source !== null && !used.has(source)),
  );
};

/** Whether a part of the snapshot is in a volume, which the definition names by pool and volume. */
export const isInVolume = (member: SnapshotReport): boolean =>
  internalDisks(member).length > 0 && member.definedDisks.some(({ pool }) => pool);

/** By disk target, the images that libvirt will open for a snapshot. */
export const imagesOf = ({ stored, images }: DeleteFacts, { name }: SnapshotReport): Images => {
  const found = stored.get(name);
  return found ? new Map([...images, ...found]) : images;
};

/** The disks whose image has another path now than when the snapshot was taken. */
export const movedOf = ({ stored, images }: DeleteFacts, member: SnapshotReport): Moved[] =>
  movedDisks(member, images, stored.get(member.name));

/** A disk of a running VM that libvirt 9.0 and newer would not recognize, because they compare paths as text. */
function otherInUse(
  { domain, daemonVersion }: DeleteFacts,
  { name }: SnapshotReport,
  { target, source, spelled }: SnapshotDisk,
): Finding[] {
  const hint = 'delete it while the VM is off';
  const disk = domain.disks.find((each) => each.target === target);
  const now = disk?.source ?? null;
  if (source === null || (disk && now === null)) return [];
  if (now === source) {
    if (spelled === undefined || isBefore(daemonVersion, COMPARES_PATHS)) return [];
    const what = `disk ${target}: ${inText(name)} is registered in ${spelled}, which is the same file as ${now}; but libvirt compares the paths as text, and cannot delete the snapshot while the VM runs`;
    return [{ what, hint }];
  }
  const place = disk
    ? `${inText(name)} is in ${source}, but the running VM writes disk ${target} to ${now}`
    : `${inText(name)} is in ${source} for disk ${target}, but the running VM has no such disk`;
  return [{ what: place, hint }];
}
