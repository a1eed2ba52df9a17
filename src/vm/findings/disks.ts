import { type Disk, type Domain, formatOf, isActive, takesPart } from '../../model/domain.ts';
import {
  type Appearance,
  chainOf,
  copyNames,
  type DiskImage,
  type Image,
  type Images,
  type Tag,
  tagsIn,
} from '../../model/image.ts';
import {
  type DaemonVersion,
  isBefore,
  isFrom,
  REVERTS_EXTERNAL,
  spelled,
} from '../../model/libvirt-versions.ts';
import { baseName } from '../../model/paths.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import type { Finding } from '../../model/rule.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { convertLine } from '../../qemu/command-lines.ts';

/** Findings about a VM's disks and images, with the commands that fix them, for several rules. */

/** A VM, and the libvirtd that runs it. */
interface OfVm {
  readonly domain: Domain;
  readonly daemonVersion: DaemonVersion;
}

/** The disks that take part in a snapshot. */
export const participants = (domain: Domain): Disk[] => domain.disks.filter(takesPart);

/** The findings about the disks that take part in a snapshot, in the order of the VM's definition. */
export function eachDisk(
  { domain, images }: { domain: Domain; images: Images },
  find: (disk: Disk, image: DiskImage | undefined) => Finding | null,
): Finding[] {
  return participants(domain).flatMap((disk) => find(disk, images.get(disk.target)) ?? []);
}

/** Whether the file has the format that the VM's XML names, as far as that is known. */
export function isAsDefined(disk: Disk, image: DiskImage | undefined): boolean {
  const believed = formatOf(disk);
  if (image?.kind === 'seen') return image.chain[0].format === believed;
  return image?.kind !== 'unseen' || (image.format ?? believed) === believed;
}

/**
 * The header of another format in a disk that is raw by the XML. If the file is out of reach, the storage pool tells
 * it, because it reads the same bytes. A LUKS header is left out: a guest that encrypts its disk writes one.
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

/** The finding about a header in a raw disk: what it looks like, and what to do. */
export function headerFinding(disk: Disk, header: Appearance): Required<Pick<Finding, 'what' | 'hint'>> {
  const { format, names } = header;
  const named = names.map(shown).join(' and ');
  return {
    what: `disk ${disk.target} (${disk.source ?? disk.storage}): ${inXml(disk)}, and the file looks like ${format}${named && ` and names ${named}`}`,
    hint: `if the guest wrote this header, do not change the type${header.mayName ? `: QEMU would open ${named || 'what it names'} for the guest` : ''}`,
  };
}

/** A name that a guest may have written, made safe for a terminal. */
const shown = (name: string): string => name.slice(0, 200).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');

const inXml = ({ driver }: Disk): string =>
  driver === null
    ? "the VM's XML names no driver type, so libvirt treats it as raw"
    : `the VM's XML says ${driver}`;

/**
 * The finding for a disk that is not qcow2, with the format of the file and of the XML, and with the edit or conversion
 * that makes it qcow2.
 */
export function formatFinding(vm: OfVm, disk: Disk, image: DiskImage | undefined): Finding | null {
  const believed = formatOf(disk);
  const header = foreignHeader(disk, image);
  if (header) return headerRefusal(vm, disk, header, image);
  const place = disk.source ?? disk.storage;
  if (image?.kind === 'seen') {
    const { format: found, looksLike } = image.chain[0];
    if (found === 'qcow2' && believed === 'qcow2') return null;
    return {
      what:
        found === believed
          ? `disk ${disk.target} (${place}) is ${found}, and internal snapshots need qcow2`
          : `disk ${disk.target} (${place}): the file is ${found}, but ${inXml(disk)}`,
      ...(looksLike?.mayName ? namingOthers(disk, looksLike) : fix(vm, disk, found, image)),
    };
  }
  if (image?.kind !== 'unseen') return null;
  const format = image.format ?? believed;
  if (format === 'qcow2' && believed === 'qcow2') return null;
  const why = format === believed ? 'and internal snapshots need qcow2' : `but ${inXml(disk)}`;
  const what = `disk ${disk.target} (${place}) is ${format} according to the ${image.source}, ${why}`;
  return { what, ...fix(vm, disk, format) };
}

const fix = (vm: OfVm, disk: Disk, found: string, image?: DiskImage): Pick<Finding, 'hint' | 'command'> =>
  found === 'qcow2' ? correction(vm.domain, disk) : conversion(vm, disk, found, formatOf(disk), image);

/**
 * There is no command here: only a person can know whether it is safe to open the file as the format that it looks
 * like.
 */
function namingOthers({ source }: Disk, { format, names }: Appearance): Pick<Finding, 'hint'> {
  const named = names.map(shown).join(' and ') || 'other files';
  return {
    hint: `it looks like ${format} and names ${named}, which QEMU would open. If a guest could ever write to ${source} as a raw disk, do not use it as ${format}; restore the right file`,
  };
}

/**
 * The finding for an internal snapshot of a disk that is raw for libvirt; a header that the guest has written stays
 * data.
 */
function headerRefusal(vm: OfVm, disk: Disk, header: Appearance, image: DiskImage | undefined): Finding {
  const { domain } = vm;
  const { what, hint } = headerFinding(disk, header);
  const own = `if you have put a ${header.format} image there yourself, set <driver name='qemu' type='${header.format}'/> for ${disk.target}`;
  if (header.mayName) {
    const asRaw = conversion(vm, disk, 'raw', 'raw', image);
    return { what, ...asRaw, hint: `${hint}; then ${asRaw.hint}. Only ${own}` };
  }
  // the guest can change what the header names until the VM stops
  if (isActive(domain.state))
    return { what, hint: `${hint}. Shut the VM off and check again; ${own}, with the VM off` };
  return { what, hint: `${hint}. Only ${own}, with the VM off`, command: editCommand(domain) };
}

/** The advice for a qcow2 file that has another type in the VM's XML. */
const correction = (domain: Domain, { target }: Disk): Pick<Finding, 'hint' | 'command'> => ({
  hint: `set <driver name='qemu' type='qcow2'/> for ${target}, with the VM off`,
  command: editCommand(domain),
});

/** The alternative for a VM whose disks have to stay as they are; null if this libvirt could not revert to it. */
export function externalInstead(version: DaemonVersion): string | null {
  if (isBefore(version, REVERTS_EXTERNAL)) return null;
  const since = isFrom(version, REVERTS_EXTERNAL)
    ? ''
    : `with libvirt ${spelled(REVERTS_EXTERNAL)} or newer, `;
  return `${since}take an external snapshot instead (--external)`;
}

/** The advice to convert a disk into a qcow2 file, or to keep the disk and take an external snapshot. */
function conversion(
  { domain, daemonVersion }: OfVm,
  disk: Disk,
  found: string,
  believed: string,
  image?: DiskImage,
): Pick<Finding, 'hint' | 'command' | 'commands'> {
  if (disk.device === 'floppy')
    return {
      hint: `internal snapshots need every writable disk in qcow2: eject the floppy ${disk.target}, or make it <readonly/>`,
    };
  if (disk.shareable) return leaveOut(domain, disk);
  const driver = believed === 'qcow2' ? '' : " and <driver name='qemu' type='qcow2'/>";
  const type = disk.pool ? " in a <disk type='file'>" : '';
  const edit = `, then set the path of the new file${type}${driver} in the VM's XML`;
  if (disk.source === null) return { hint: 'an internal snapshot needs a qcow2 image' };
  if (disk.storage === 'block' || disk.source.startsWith('/dev/')) {
    return {
      hint: `let LVM take the snapshot of the raw logical volume, with the VM off; or convert the volume to a qcow2 file${edit}`,
      command: `lvcreate --snapshot --size 10G --name ${quote(`${baseName(disk.source)}-snapshot`)} ${quote(disk.source)}`,
    };
  }
  // libvirt cannot revert a volume of a pool to an external snapshot
  const instead = found === believed && disk.pool === null ? externalInstead(daemonVersion) : null;
  const keeps = instead === null ? '' : `. Or ${instead}`;
  const isFree = (path: string) => !domain.disks.some(({ source }) => source === path);
  const seen = image?.kind === 'seen' ? image.copyTo : undefined;
  const target = seen ?? copyNames(disk.source).find(isFree) ?? '';
  return {
    hint: `convert it with the VM off${edit}${keeps}`,
    commands: [convertLine({ path: disk.source, format: found }, target), editCommand(domain)],
  };
}

type Broken = Extract<DiskImage, { kind: 'broken' }>;

/** The end of a sentence about the file. */
export const whatIsBroken = ({ why, detail }: Broken): string => WORDS[why](detail);

const WORDS: Readonly<Record<Broken['why'], (detail: string) => string>> = {
  missing: () => 'is missing',
  'backing-missing': () => 'is missing',
  unreadable: (detail) => `is not readable as an image (${detail})`,
  'format-unrecorded': (detail) => `has a format that is not recorded (${detail})`,
};

/** The finding about an image that QEMU has marked corrupt, with the advice to copy it; null for any other image. */
export function corruptImage({ target, source }: Disk, image: DiskImage | undefined): Finding | null {
  const [top] = chainOf(image);
  return top?.corrupt ? damagedImage(`disk ${target} (${source}): the image is marked corrupt`, top) : null;
}

/** A finding about a damaged image, with the advice to copy it. */
export function damagedImage(what: string, top: Image): Finding {
  return {
    what,
    command: convertLine(top, `${top.path}.copy`),
    // no repair is advised: with bitmaps, `qemu-img check -r` removes every snapshot and reports success (5.2 to 11.1)
    hint: "restore the image from a backup; or, with the VM off, copy its present content (or, with -l NAME, a snapshot in it) into a new image, and name that in the VM's XML",
  };
}

/** The finding about a qcow2 image that cannot hold snapshots; null for any other image. */
export function unsupportedImage(vm: OfVm, disk: Disk, image: DiskImage | undefined): Finding | null {
  const [top] = chainOf(image);
  if (!top) return null;
  const what = `disk ${disk.target} (${disk.source}): the image`;
  if (top.dataFile !== null)
    return {
      what: `${what} keeps its data in ${top.dataFile}, and QEMU takes no internal snapshot of such images`,
      ...conversion(vm, disk, top.format, top.format, image),
    };
  if (top.refcountBits === 1)
    return {
      what: `${what} has refcount_bits=1, and a snapshot needs at least 2`,
      command: `qemu-img amend -f qcow2 -o refcount_bits=16 ${quote(top.path)}`,
    };
  return null;
}

/**
 * The command line that copies an image, or with `-l` a snapshot in it, to a path that is no overlay: qemu-img
 * overwrites existing files, and an overlay is called `IMAGE.NAME` if the image's name has no extension.
 */
export const copyCommand = (
  { path, format }: Pick<Image, 'path' | 'format'>,
  name: string,
  ...options: string[]
): string => convertLine({ path, format }, `${path}.${name}.copy`, '-U', ...options);

/**
 * The line that copies the content of an internal snapshot into a new image, and what to know about it: qemu-img copies as much as
 * the disk has now, and beyond the size that it had at that time lies the saved memory (QEMU keeps it behind the disk).
 */
export const copyOfSnapshot = (
  { name, memory }: Pick<Snapshot, 'name' | 'memory'>,
  path: string,
): { readonly command: string; readonly caution: string } => ({
  command: copyCommand({ path, format: 'qcow2' }, name, '-l', `snapshot.name=${name}`),
  caution:
    memory.location === 'internal'
      ? '. If the disk was made larger since, the copy contains memory of the guest beyond its old size'
      : '',
});

/** The tag that QEMU would use instead of the one with that name, because QEMU looks for an id before a name. */
export const tagWithId = (image: DiskImage | undefined, name: string): Tag | undefined =>
  tagsIn(image).find((tag) => tag.id === name && tag.name !== name);

/** The id that QEMU will give to the next snapshot in the image: the highest plus one (block/qcow2-snapshot.c). */
export const nextTagId = (image: DiskImage | undefined): string | null =>
  image?.kind === 'seen' ? String(1 + Math.max(0, ...tagsIn(image).map(({ id }) => Number(id) || 0))) : null;

/** The command to edit the definition. */
export const editCommand = (domain: Domain): string => `virsh edit ${virshWord(domain)}`;

/** The advice for a shareable disk. Converting it does not help, and libvirt refuses an external snapshot of it. */
export function leaveOut(
  { name }: Pick<Domain, 'name'>,
  { target }: Pick<Disk, 'target'>,
): Pick<Finding, 'hint' | 'command'> {
  return {
    hint: `libvirt takes no snapshot of a <shareable/> disk; take an external snapshot of the other disks (reverting to it needs libvirt 9.9 or newer, and does not change ${target})`,
    command: kvmsnapLine(
      'create-as',
      [name, `without-${target}`],
      '--disk-only',
      '--diskspec',
      `${target},snapshot=no`,
    ),
  };
}
