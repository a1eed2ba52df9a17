import { type Disk, type Domain, isActive, takesPart } from './domain.ts';
import { chainOf, copyNames, type DiskImage, type Images, type Tag, tagsIn } from './image.ts';
import { baseName } from './paths.ts';
import type { Finding } from './preflight.ts';
import { commandLine, quote, virshWord } from './quote.ts';

/** What is wrong with a machine's disks and images, and the commands that mend it: the words of more than one rule. */

/** The disks that take part in a snapshot. */
export const participants = (domain: Domain): Disk[] => domain.disks.filter(takesPart);

/** What is found of the disks that take part in a snapshot, in the machine's order. */
export function eachDisk(
  { domain, images }: { domain: Domain; images: Images },
  find: (disk: Disk, image: DiskImage | undefined) => Finding | null,
): Finding[] {
  return participants(domain).flatMap((disk) => find(disk, images.get(disk.target)) ?? []);
}

const believedFormat = ({ driver }: Disk): string => driver ?? 'raw';

/** Whether the file is of the format that the machine's XML says, as far as it can be told. */
export function isAsDefined(disk: Disk, image: DiskImage | undefined): boolean {
  const believed = believedFormat(disk);
  if (image?.kind === 'seen') return image.chain[0].format === believed;
  return image?.kind !== 'unseen' || (image.format ?? believed) === believed;
}

/** Both facts, the file's format and the XML's word, and the edit or conversion that makes them qcow2. */
export function formatFinding(domain: Domain, disk: Disk, image: DiskImage | undefined): Finding | null {
  const believed = believedFormat(disk);
  const inXml =
    disk.driver === null ? 'names no driver type, which libvirt takes for raw' : `says ${disk.driver}`;
  const place = disk.source ?? disk.storage;
  if (image?.kind === 'seen') {
    const found = image.chain[0].format;
    if (found === 'qcow2' && believed === 'qcow2') return null;
    const what = `disk ${disk.target} (${place}): the file is ${found}, the machine's XML ${inXml}`;
    return {
      what,
      ...(found === 'qcow2' ? correction(domain, disk) : conversion(domain, disk, found, believed, image)),
    };
  }
  if (image?.kind !== 'unseen') return null;
  const format = image.format ?? believed;
  if (format === 'qcow2' && believed === 'qcow2') return null;
  const other = format === believed ? '' : `, and the machine's XML ${inXml}`;
  const what = `disk ${disk.target} (${place}): it is ${format}, by the ${image.source}${other}`;
  return {
    what,
    ...(format === 'qcow2' ? correction(domain, disk) : conversion(domain, disk, format, believed)),
  };
}

/** For a qcow2 file that the machine's XML calls something else. */
const correction = (domain: Domain, { target }: Disk): Pick<Finding, 'hint' | 'command'> => ({
  hint: `set <driver name='qemu' type='qcow2'/> for ${target}, with the machine off`,
  command: editCommand(domain),
});

/** For a machine that has to stay as it is. */
export const EXTERNAL_INSTEAD =
  'take an external snapshot instead, with --external, to which libvirt 9.9 and newer can revert';

/** Into a qcow2 file; a disk that is as it is meant to be can also stay so. */
function conversion(
  domain: Domain,
  disk: Disk,
  found: string,
  believed: string,
  image?: DiskImage,
): Pick<Finding, 'hint' | 'command'> {
  if (disk.device === 'floppy')
    return {
      hint: `internal snapshots need every writable disk in qcow2: eject the floppy ${disk.target}, or make it <readonly/>`,
    };
  const driver = believed === 'qcow2' ? '' : " with <driver name='qemu' type='qcow2'/>";
  const edit = `, and name the new file${driver} in the machine's XML`;
  if (disk.source === null) return { hint: 'an internal snapshot needs a qcow2 image' };
  if (disk.storage === 'block') {
    return {
      hint: `for a raw logical volume let LVM take the snapshot, with the machine off; or convert it to a qcow2 file${edit}`,
      command: `lvcreate --snapshot --size 10G --name ${quote(`${baseName(disk.source)}-snapshot`)} ${quote(disk.source)}`,
    };
  }
  const isFree = (path: string) => !domain.disks.some(({ source }) => source === path);
  const seen = image?.kind === 'seen' ? image.copyTo : undefined;
  const target = seen ?? copyNames(disk.source).find(isFree) ?? '';
  return {
    hint: `convert it, with the machine off${edit}${found === believed ? ` (or ${EXTERNAL_INSTEAD})` : ''}`,
    command: `qemu-img convert -f ${found} -O qcow2 ${quote(disk.source)} ${quote(target)}`,
  };
}

type Broken = Extract<DiskImage, { kind: 'broken' }>;

/** The end of a sentence about the file that it names. */
export const whatIsBroken = ({ why, detail }: Broken): string =>
  why === 'unreadable' ? `is not readable as an image (${detail})` : 'is missing';

/** An image that QEMU itself has marked, and a copy as the cure; null for any other. */
export function corruptImage({ target, source }: Disk, image: DiskImage | undefined): Finding | null {
  const [top] = chainOf(image);
  if (!top?.corrupt) return null;
  return {
    what: `disk ${target} (${source}): the image is marked corrupt`,
    command: commandLine('qemu-img', ['convert', '-O', 'qcow2', top.path, `${top.path}.copy`]),
    // no repair: with bitmaps, `qemu-img check -r` removes every snapshot and finds nothing wrong in that (5.2 to 11.1)
    hint: "restore the image from a backup; or, with the machine off, copy what it holds now (a snapshot in it: -l NAME) into a new one, and name that in the machine's XML",
  };
}

/** A qcow2 image of a kind that can hold no snapshot; null for any other. */
export function unsuitableImage(domain: Domain, disk: Disk, image: DiskImage | undefined): Finding | null {
  const [top] = chainOf(image);
  if (!top) return null;
  const what = `disk ${disk.target} (${disk.source}): the image`;
  if (top.dataFile !== null)
    return {
      what: `${what} keeps its data in ${top.dataFile}, and QEMU takes no internal snapshot of such images`,
      ...conversion(domain, disk, top.format, top.format, image),
    };
  if (top.refcountBits === 1)
    return {
      what: `${what} has refcount_bits=1, and a snapshot needs at least 2`,
      command: `qemu-img amend -o refcount_bits=16 ${quote(top.path)}`,
    };
  return null;
}

/** Their bitmaps in the images forbid a revert; libvirt deletes them only while the machine runs. */
export function checkpointFinding(domain: Domain, consequence: string): Finding[] {
  const { checkpoints } = domain;
  if (checkpoints.length === 0) return [];
  const machine = virshWord(domain);
  return [
    {
      what: `the machine has ${checkpoints.length} checkpoint(s) of incremental backup (${checkpoints.slice(0, 3).join(', ')}), and ${consequence}`,
      hint: 'end the backup chain, and delete the checkpoints while the machine runs',
      command: [
        ...(isActive(domain.state) ? [] : [`virsh start ${machine}`]),
        ...checkpoints.map((name) => `virsh checkpoint-delete ${machine} --checkpointname ${quote(name)}`),
      ].join(' && '),
    },
  ];
}

/**
 * The command line that copies an image, or by `-l` a snapshot in it, to where no overlay can be: that of the snapshot is
 * called `IMAGE.NAME` where the image's name has no ending, and qemu-img writes over what is there.
 */
export const copyCommand = (path: string, name: string, ...options: string[]): string =>
  commandLine('qemu-img', ['convert', '-U', ...options, '-O', 'qcow2', path, `${path}.${name}.copy`]);

/** A snapshot that QEMU would take instead of the one of that name: it goes to an id before a name. */
export const tagWithId = (image: DiskImage | undefined, name: string): Tag | undefined =>
  tagsIn(image).find((tag) => tag.id === name && tag.name !== name);

/** The id that QEMU will give to the next snapshot in the image: one more than the highest (block/qcow2-snapshot.c). */
export const nextTagId = (image: DiskImage | undefined): string | null =>
  image?.kind === 'seen' ? String(1 + Math.max(0, ...tagsIn(image).map(({ id }) => Number(id) || 0))) : null;

export const editCommand = (domain: Domain): string => `virsh edit ${virshWord(domain)}`;
