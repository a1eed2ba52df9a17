/**
 * A file with the memory of a VM, as a save or an external snapshot writes it. Source of the format: libvirt's
 * qemu_saveimage.h; a header of 92 bytes, then the VM's XML.
 */

const MAGIC = /^LibvirtQemud(Save|Part)/;
const HEADER_BYTES = 92;

/** The number of bytes at the start of such a file that are read to find the VM's UUID. */
export const SAVE_HEAD_BYTES = 4096;

/** The UUID of the VM whose memory it is; null for any other file. `head`: the first bytes of the file. */
export function savedVm(head: Uint8Array): string | null {
  const text = Buffer.from(head).toString('latin1');
  if (!MAGIC.test(text)) return null;
  return /<uuid>([0-9a-f-]{36})<\/uuid>/.exec(text.slice(HEADER_BYTES))?.[1] ?? null;
}

/**
 * The beginning of such a file for the definition; QEMU's migration stream follows. Version 2: the magic, the version, the length of
 * the XML with its NUL, whether the VM was running, the compression, no cookie, and 14 unused words (in the byte order of the host).
 */
export function saveHead(xml: string, compression: number): Uint8Array {
  const text = Buffer.from(`${xml}\0`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(COMPLETE, 'latin1');
  for (const [i, word] of [VERSION, text.length, 1, compression].entries())
    header.writeUInt32LE(word, MAGIC_BYTES + 4 * i);
  return Buffer.concat([header, text]);
}

const COMPLETE = 'LibvirtQemudSave';
const MAGIC_BYTES = 16;
const VERSION = 2;
/** The last one that is a stream: zstd. After it comes `sparse`, in which the memory has fixed places in the file. */
const LAST_STREAM = 5;

/** The migration stream in a file with saved memory. */
export interface SavedStream {
  /** Where it begins. */
  readonly offset: number;
  /** libvirt's number of its compression; 0: none. */
  readonly compression: number;
}

/** Where the stream is; or why it is not found. `head`: the first bytes of the file. */
export function savedStream(head: Uint8Array): SavedStream | string {
  const header = Buffer.from(head);
  if (header.length < HEADER_BYTES || !header.toString('latin1').startsWith(COMPLETE))
    return 'it is not a complete file of saved memory';
  const word = (i: number) => header.readUInt32LE(MAGIC_BYTES + 4 * i);
  const compression = word(3);
  if (word(0) !== VERSION || compression > LAST_STREAM)
    return 'it has a format that kvmsnap does not know (snapshot_image_format in qemu.conf)';
  return { offset: HEADER_BYTES + word(1), compression };
}
