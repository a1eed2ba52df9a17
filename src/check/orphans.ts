import type { Disk, Domain } from '../model/domain.ts';
import { chainOf, type DiskImage, type Images, type Tag, tagsIn, tagsNamed } from '../model/image.ts';
import { nameProblem } from '../model/names.ts';
import { internalDisks, type Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { accounting, describeUses, type ImageUsers, usesOf } from '../sharing/image-users.ts';
import { participants, tagWithId } from '../vm/findings/disks.ts';

/** Snapshots inside the images that libvirt does not know, and what can be proven about each. */

export interface Orphan {
  readonly name: string;
  /** The disks that hold it, in the order of the VM's definition. */
  readonly holders: readonly Holder[];
  readonly status: TagStatus;
}

export interface Holder {
  readonly target: string;
  readonly path: string;
  readonly tags: readonly Tag[];
}

export type TagStatus =
  /** Complete: every disk holds it exactly once. */
  | { readonly kind: 'complete'; readonly createdAtSeconds: number; readonly hasMemory: boolean }
  /** Incomplete: a disk that was part of the VM before it was taken does not hold it. */
  | { readonly kind: 'incomplete'; readonly lacking: readonly string[] }
  /** Nothing can be proven; `why` is the reason. */
  | { readonly kind: 'unclear'; readonly why: string };

export interface OrphanFacts {
  readonly domain: Domain;
  readonly snapshots: readonly Snapshot[];
  /** Snapshots of which only the name could be read. */
  readonly unread: readonly { readonly name: string }[];
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
  /** Which other VMs use the files of this one: a tag that belongs to a snapshot of another VM is no orphan. */
  readonly users: ImageUsers;
}

/** The longest name in bytes. libvirt stores the snapshot in a file with that name and an extension (hazard 5). */
const MOST_NAME_BYTES = 247;

/** If the VM is off, libvirt creates the tags of its disks one after the other. */
const SECONDS_BETWEEN_DISKS = 60;

/** The orphans of a VM, in the order of the images' snapshot tables. */
export function findOrphans(facts: OrphanFacts): Orphan[] {
  const known = new Set([...facts.snapshots, ...facts.unread].map(({ name }) => name));
  const disks = participants(facts.domain);
  const names = new Set(disks.flatMap(({ target }) => tagsIn(facts.images.get(target)).map(nameOf)));
  const found = [...names]
    .filter((name) => !known.has(name))
    .map((name) => ({ name, holders: holdersOf(facts, name) }))
    .filter(({ holders }) => holders.length > 0);
  const statuses = found.map(
    (orphan) => elsewhere(facts, orphan) ?? completeness(facts, disks, orphan.name, orphan.holders),
  );
  const registrable = new Set(found.filter((_, i) => statuses[i]?.kind === 'complete').map(nameOf));
  return found.map((orphan, i) => {
    const status = statuses[i] as TagStatus;
    const isProvable = status.kind !== 'complete' && elsewhere(facts, orphan) === null;
    const incomplete = isProvable ? incompleteness(facts, disks, orphan, registrable) : null;
    return { ...orphan, status: incomplete ?? status };
  });
}

const nameOf = ({ name }: { readonly name: string }): string => name;

/** The disks that hold it, without those in which it is a snapshot of another VM. */
function holdersOf({ domain, images, users }: OrphanFacts, name: string): Holder[] {
  return participants(domain).flatMap(({ target }) => {
    const image = images.get(target);
    const [top] = chainOf(image);
    const tags = tagsNamed(image, name);
    return top && tags.length > 0 && accounting(users, top.path, name).length === 0
      ? [{ target, path: top.path, tags }]
      : [];
  });
}

/** Why nothing can be proven from this VM alone; null if no other VM uses its images. */
function elsewhere(
  { domain, images, users }: OrphanFacts,
  { name }: Pick<Orphan, 'name'>,
): Extract<TagStatus, { kind: 'unclear' }> | null {
  const paths = participants(domain).flatMap(({ target }) =>
    tagsNamed(images.get(target), name).length > 0 ? (chainOf(images.get(target))[0]?.path ?? []) : [],
  );
  const others = paths.flatMap((path) => usesOf(users, path));
  if (others.length > 0) return { kind: 'unclear', why: `its owner is unknown: ${describeUses(others)}` };
  const [unknown] = users.unknown;
  return unknown === undefined
    ? null
    : { kind: 'unclear', why: `its owner is unknown: the VM ${inText(unknown)} could not be read` };
}

/** Whether libvirt can have taken it as one snapshot of the VM as it is defined today. */
function completeness(
  { domain, images }: OrphanFacts,
  disks: readonly Disk[],
  name: string,
  holders: readonly Holder[],
): TagStatus {
  const tags = holders.flatMap((holder) => holder.tags);
  const dates = tags.map((tag) => tag.createdAtSeconds);
  const memories = tags.filter((tag) => tag.vmStateBytes > 0).length;
  const reasons: readonly (string | null | false | undefined)[] = [
    nameReason(name),
    disks.map((disk) => diskReason(disk, images.get(disk.target), name)).find((reason) => reason !== null),
    // it cannot be known whether the snapshot includes the NVRAM
    domain.pflash !== null &&
      'the VM has UEFI firmware, and it is unknown whether the snapshot includes the NVRAM',
    memories > 1 && `${memories} disks contain saved memory for it, and a snapshot can have only one`,
    Math.max(...dates) - Math.min(...dates) > SECONDS_BETWEEN_DISKS &&
      'its tags in the disks are from different times, so they are not one snapshot',
  ];
  const why = reasons.find((reason) => typeof reason === 'string');
  if (typeof why === 'string') return { kind: 'unclear', why };
  return { kind: 'complete', createdAtSeconds: Math.min(...dates), hasMemory: memories === 1 };
}

function nameReason(name: string): string | null {
  // qemu-img prints this character for bytes that are not UTF-8
  if (name.includes('\ufffd')) return 'its name is not valid UTF-8';
  const problem = nameProblem(name, MOST_NAME_BYTES);
  return problem === null ? null : `libvirt does not accept that name: ${problem}`;
}

function diskReason(disk: Disk, image: DiskImage | undefined, name: string): string | null {
  const { target } = disk;
  if (image?.kind !== 'seen') return `disk ${target} cannot be inspected`;
  if (image.chain[0].format !== 'qcow2' || disk.driver !== 'qcow2') return `disk ${target} is not qcow2`;
  if (disk.snapshot !== null && disk.snapshot !== 'internal')
    return `the VM's XML has snapshot='${disk.snapshot}' for disk ${target}`;
  const copies = tagsNamed(image, name).length;
  if (copies === 0) return `disk ${target} does not contain it`;
  if (copies > 1) return `disk ${target} contains it ${copies} times`;
  const other = tagWithId(image, name);
  return other ? `in disk ${target} its name is the id of ${inText(other.name)}` : null;
}

/**
 * A disk may lack the tag because it was added to the VM later; then the snapshot is complete. So a snapshot is
 * incomplete only if each disk that lacks it holds an older snapshot of this VM, which proves that the disk was part of
 * the VM.
 */
function incompleteness(
  { snapshots, images }: OrphanFacts,
  disks: readonly Disk[],
  { name, holders }: Pick<Orphan, 'name' | 'holders'>,
  registrable: ReadonlySet<string>,
): TagStatus | null {
  if (disks.some(({ target }) => images.get(target)?.kind !== 'seen')) return null;
  if (holders.some(({ tags }) => tags.length > 1)) return null;
  const lacking = disks.filter(({ target }) => tagsNamed(images.get(target), name).length === 0);
  const taken = Math.min(...holders.flatMap(({ tags }) => tags.map((tag) => tag.createdAtSeconds)));
  const wasThere = ({ target }: Disk) =>
    tagsIn(images.get(target)).some(
      (tag) =>
        tag.createdAtSeconds < taken &&
        (registrable.has(tag.name) ||
          snapshots.some(
            (known) => known.name === tag.name && internalDisks(known).some((disk) => disk.target === target),
          )),
    );
  if (lacking.length === 0 || !lacking.every(wasThere)) return null;
  return { kind: 'incomplete', lacking: lacking.map(({ target }) => target) };
}
