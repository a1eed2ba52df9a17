import type { Appearance } from '../model/image.ts';
import { asAnswer, bytesAt, type ImageBytes } from './qcow2/bytes.ts';
import { type Identity, readIdentity } from './qcow2/identity.ts';

/**
 * What the first bytes of a file look like. This is only shown, and never decides which format an image has, because a
 * guest can write any bytes to the beginning of its raw disk. The signatures are those that QEMU probes for.
 */

/** Enough for every signature, and for the descriptor of a VMDK image (block/vmdk.c: 20 sectors from the second on). */
const HEAD_BYTES = 21 * 512;

type Signature = readonly [format: string, offset: number, text: string];

const SIGNATURES: readonly Signature[] = [
  ['qcow2', 0, 'QFI\xfb'],
  ['qed', 0, 'QED\0'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, 'COWD'],
  ['vhdx', 0, 'vhdxfile'],
  ['vpc', 0, 'conectix'],
  ['vdi', 64, '\x7f\x10\xda\xbe'],
  ['parallels', 0, 'WithoutFreeSpace'],
  ['parallels', 0, 'WithouFreSpacExt'],
  ['bochs', 0, 'Bochs Virtual HD Image'],
  ['cloop', 0, '#!/bin/sh\n#V2.0 Format\nmodprobe cloop'],
  ['luks', 0, 'LUKS\xba\xbe'],
];

/** For QEMU, a text is a VMDK descriptor if its first line, without comments and empty lines, is the version. */
const DESCRIPTOR = /^(?:[ ]*(?:#[^\n]*)?\r?\n)*version=[123]\r?\n/;
const EXTENT = /^(?:RW|RDONLY|NOACCESS) +\d+ +\S+ +"([^"\n]*)"/gm;
const PARENT = /parentFileNameHint="([^"\n]*)"/g;

/** Formats in which an image cannot name another file that QEMU would open. */
const NAMES_NOTHING: ReadonlySet<string> = new Set([
  'vdi',
  'vhdx',
  'vpc',
  'parallels',
  'bochs',
  'cloop',
  'luks',
]);

/** What it looks like; null if it looks like no image format, so that it is raw. */
export function appearanceOf(image: ImageBytes): Appearance | null {
  const view = bytesAt(image, 0, Math.min(HEAD_BYTES, image.size));
  const head = Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  const text = head.toString('latin1');
  const format = formatOf(text);
  if (format === null) return null;
  if (NAMES_NOTHING.has(format)) return { format, names: [], mayName: false };
  const found = format === 'qcow2' ? qcow2Names(image) : format === 'vmdk' ? vmdkNames(head) : UNREAD;
  return { format, ...found };
}

type Names = Pick<Appearance, 'names' | 'mayName'>;

/** The result for a format that is not read here, or for an incomplete header. */
const UNREAD: Names = { names: [], mayName: true };

function formatOf(text: string): string | null {
  const found = SIGNATURES.find(([, offset, signature]) => text.startsWith(signature, offset));
  if (!found) return DESCRIPTOR.test(text) ? 'vmdk' : null;
  const [format] = found;
  // version 1 has the same first bytes
  return format === 'qcow2' && text.charCodeAt(7) === 1 ? 'qcow' : format;
}

function qcow2Names(image: ImageBytes): Names {
  try {
    const identity = readIdentity(image);
    const names = identity && namesOf(identity);
    return names ? { names, mayName: names.length > 0 } : UNREAD;
  } catch (error) {
    asAnswer(error);
    return UNREAD;
  }
}

const namesOf = ({ backing, dataFile }: Identity): string[] => [
  ...(backing ? [backing.name] : []),
  ...(dataFile === null ? [] : [dataFile]),
];

/** The place of the capacity in an image that is one file. */
const VMDK_CAPACITY = 12;

/** An image that is one file names its parent; QEMU reads the extents of its descriptor only if it has no capacity. */
function vmdkNames(head: Buffer): Names {
  const text = head.toString('utf8');
  const parents = matches(text, PARENT);
  const isOneFile = text.startsWith('KDMV') && head.readBigUInt64LE(VMDK_CAPACITY) !== 0n;
  if (isOneFile) return { names: parents, mayName: text.includes('parentFileNameHint') };
  return { names: [...matches(text, EXTENT), ...parents], mayName: true };
}

const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, name = '']) => name);
