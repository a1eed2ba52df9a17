import { type Disk, type Domain, formatOf, isActive, takesPart } from '../model/domain.ts';
import {
  type Appearance,
  chainOf,
  copyNames,
  type DiskImage,
  type Image,
  type Images,
  type Tag,
  tagsIn,
} from '../model/image.ts';
import { baseName } from '../model/paths.ts';
import { kvmsnapLine, quote, virshWord } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { convertLine } from '../qemu/command-lines.ts';

/** What is wrong with a VM's disks and images, and the commands that fix it: the words of more than one rule. */

/** The disks that take part in a snapshot. */
export const participants = (domain: Domain): Disk[] => domain.disks.filter(takesPart);

/** What is found of the disks that take part in a snapshot, in the VM's order. */
export function eachDisk(
  { domain, images }: { domain: Domain; images: Images },
  find: (disk: Disk, image: DiskImage | undefined) => Finding | null,
): Finding[] {
  return participants(domain).flatMap((disk) => find(disk, images.get(disk.target)) ?? []);
}

/** Whether the file is of the format that the VM's XML says, as far as it can be told. */
export function isAsDefined(disk: Disk, image: DiskImage | undefined): boolean {
  const believed = formatOf(disk);
  if (image?.kind === 'seen') return image.chain[0].format === believed;
  return image?.kind !== 'unseen' || (image.format ?? believed) === believed;
}

/**
 * The header of another format in a disk that the XML calls raw; by the storage pool, which reads the same bytes, where the
 * file is out of reach. A guest that encrypts its disk writes one of LUKS, as it should.
 */
export function foreignHeader(disk: Disk, image: DiskImage | undefined): Appearance | null {
  if (formatOf(disk) !== 'raw') return null;
  if (image?.kind === 'unseen' && image.source === 'storage pool')
    return image.format === 'raw' || image.format === null
      ? null
      : { format: image.format, names: [], mayName: true };
  const [top] = chainOf(image);
  return top?.looksLike && top.looksLike.format !== 'luks' ? top.looksLike : null;
}

/** What it looks like, and what to make of it. */
export function headerFinding(disk: Disk, header: Appearance): Required<Pick<Finding, 'what' | 'hint'>> {
  const { format, names } = header;
  const named = names.map(shown).join(' and ');
  return {
    what: `disk ${disk.target} (${disk.source ?? disk.storage}): ${inXml(disk)}, and the file looks like ${format}${named && ` and names ${named}`}`,
    hint: `if the guest wrote this header, do not change the type${header.mayName ? `: QEMU would open ${named || 'what it names'} for the guest` : ''}`,
  };
}

/** A name that a guest may have written, for a person to read. */
const shown = (name: string): string => name.slice(0, 200).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');

const inXml = ({ driver }: Disk): string =>
  driver === null
    ? "the VM's XML names no driver type, which libvirt takes for raw"
    : `the VM's XML says ${driver}`;

/** Both facts, the file's format and the XML's word, and the edit or conversion that makes them qcow2. */
export function formatFinding(domain: Domain, disk: Disk, image: DiskImage | undefined): Finding | null {
  const believed = formatOf(disk);
  const header = foreignHeader(disk, image);
  if (header) return headerRefusal(domain, disk, header, image);
  const place = disk.source ?? disk.storage;
  if (image?.kind === 'seen') {
    const { format: found, looksLike } = image.chain[0];
    if (found === 'qcow2' && believed === 'qcow2') return null;
    return {
      what: `disk ${disk.target} (${place}): the file is ${found}, ${inXml(disk)}`,
      ...(looksLike?.mayName ? namingOthers(disk, looksLike) : fix(domain, disk, found, image)),
    };
  }
  if (image?.kind !== 'unseen') return null;
  const format = image.format ?? believed;
  if (format === 'qcow2' && believed === 'qcow2') return null;
  const other = format === believed ? '' : `, and ${inXml(disk)}`;
  const what = `disk ${disk.target} (${place}): it is ${format}, by the ${image.source}${other}`;
  return { what, ...fix(domain, disk, format) };
}

const fix = (
  domain: Domain,
  disk: Disk,
  found: string,
  image?: DiskImage,
): Pick<Finding, 'hint' | 'command'> =>
  found === 'qcow2' ? correction(domain, disk) : conversion(domain, disk, found, formatOf(disk), image);

/** No command: whether it is safe to open the file as what it looks like, only a person can know. */
function namingOthers({ source }: Disk, { format, names }: Appearance): Pick<Finding, 'hint'> {
  const named = names.map(shown).join(' and ') || 'other files';
  return {
    hint: `it looks like ${format}, and names ${named}, which QEMU would open. If a guest could ever write to ${source} as a raw disk, do not use it as ${format}: restore the right file`,
  };
}

/** An internal snapshot of a disk that is raw for libvirt; what a guest has written as a header stays what it is, data. */
function headerRefusal(
  domain: Domain,
  disk: Disk,
  header: Appearance,
  image: DiskImage | undefined,
): Finding {
  const { what, hint } = headerFinding(disk, header);
  const own = `if you have put a ${header.format} image there yourself, set <driver name='qemu' type='${header.format}'/> for ${disk.target}`;
  if (header.mayName) {
    const asRaw = conversion(domain, disk, 'raw', 'raw', image);
    return { what, ...asRaw, hint: `${hint}; then ${asRaw.hint}. Only ${own}` };
  }
  // what it names now it need not name when the VM has stopped
  if (isActive(domain.state))
    return { what, hint: `${hint}. Shut the VM off and check again; ${own}, with the VM off` };
  return { what, hint: `${hint}. Only ${own}, with the VM off`, command: editCommand(domain) };
}

/** For a qcow2 file that the VM's XML calls something else. */
const correction = (domain: Domain, { target }: Disk): Pick<Finding, 'hint' | 'command'> => ({
  hint: `set <driver name='qemu' type='qcow2'/> for ${target}, with the VM off`,
  command: editCommand(domain),
});

/** For a VM that has to stay as it is. */
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
  if (disk.shareable) return leaveOut(domain, disk);
  const driver = believed === 'qcow2' ? '' : " with <driver name='qemu' type='qcow2'/>";
  const edit = `, and name the new file${driver} in the VM's XML`;
  if (disk.source === null) return { hint: 'an internal snapshot needs a qcow2 image' };
  if (disk.storage === 'block') {
    return {
      hint: `for a raw logical volume let LVM take the snapshot, with the VM off; or convert it to a qcow2 file${edit}`,
      command: `lvcreate --snapshot --size 10G --name ${quote(`${baseName(disk.source)}-snapshot`)} ${quote(disk.source)}`,
    };
  }
  const isFree = (path: string) => !domain.disks.some(({ source }) => source === path);
  const seen = image?.kind === 'seen' ? image.copyTo : undefined;
  const target = seen ?? copyNames(disk.source).find(isFree) ?? '';
  return {
    hint: `convert it, with the VM off${edit}${found === believed ? ` (or ${EXTERNAL_INSTEAD})` : ''}`,
    command: convertLine({ path: disk.source, format: found }, target),
  };
}

type Broken = Extract<DiskImage, { kind: 'broken' }>;

/** The end of a sentence about the file that it names. */
export const whatIsBroken = ({ why, detail }: Broken): string => WORDS[why](detail);

const WORDS: Readonly<Record<Broken['why'], (detail: string) => string>> = {
  missing: () => 'is missing',
  'backing-missing': () => 'is missing',
  unreadable: (detail) => `is not readable as an image (${detail})`,
  'format-unrecorded': (detail) => `is of a format that is not recorded (${detail})`,
};

/** An image that QEMU itself has marked, and a copy as the cure; null for any other. */
export function corruptImage({ target, source }: Disk, image: DiskImage | undefined): Finding | null {
  const [top] = chainOf(image);
  if (!top?.corrupt) return null;
  return {
    what: `disk ${target} (${source}): the image is marked corrupt`,
    command: convertLine(top, `${top.path}.copy`),
    // no repair: with bitmaps, `qemu-img check -r` removes every snapshot and finds nothing wrong in that (5.2 to 11.1)
    hint: "restore the image from a backup; or, with the VM off, copy what it holds now (a snapshot in it: -l NAME) into a new one, and name that in the VM's XML",
  };
}

/** A qcow2 image of a kind that can hold no snapshot; null for any other. */
export function unsupportedImage(domain: Domain, disk: Disk, image: DiskImage | undefined): Finding | null {
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
      command: `qemu-img amend -f qcow2 -o refcount_bits=16 ${quote(top.path)}`,
    };
  return null;
}

/**
 * The command line that copies an image, or by `-l` a snapshot in it, to where no overlay can be: that of the snapshot is
 * called `IMAGE.NAME` where the image's name has no ending, and qemu-img writes over what is there.
 */
export const copyCommand = (
  { path, format }: Pick<Image, 'path' | 'format'>,
  name: string,
  ...options: string[]
): string => convertLine({ path, format }, `${path}.${name}.copy`, '-U', ...options);

/** A snapshot that QEMU would take instead of the one of that name: it goes to an id before a name. */
export const tagWithId = (image: DiskImage | undefined, name: string): Tag | undefined =>
  tagsIn(image).find((tag) => tag.id === name && tag.name !== name);

/** The id that QEMU will give to the next snapshot in the image: one more than the highest (block/qcow2-snapshot.c). */
export const nextTagId = (image: DiskImage | undefined): string | null =>
  image?.kind === 'seen' ? String(1 + Math.max(0, ...tagsIn(image).map(({ id }) => Number(id) || 0))) : null;

export const editCommand = (domain: Domain): string => `virsh edit ${virshWord(domain)}`;

/** What can be done about a shareable disk: neither converting it nor an external snapshot of it, which libvirt refuses. */
export function leaveOut(
  { name }: Pick<Domain, 'name'>,
  { target }: Pick<Disk, 'target'>,
): Pick<Finding, 'hint' | 'command'> {
  return {
    hint: `libvirt takes no snapshot of a <shareable/> disk; leave it out of an external snapshot of the others (a revert to it needs libvirt 9.9 or newer, and leaves ${target} as it is)`,
    command: kvmsnapLine(
      'create-as',
      [name, `without-${target}`],
      '--disk-only',
      '--diskspec',
      `${target},snapshot=no`,
    ),
  };
}
