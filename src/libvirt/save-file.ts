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
 * the XML with its NUL, whether the VM was running, no compression, no cookie, and 14 unused words (in the byte order of the host).
 */
export function saveHead(xml: string): Uint8Array {
  const text = Buffer.from(`${xml}\0`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('LibvirtQemudSave', 'latin1');
  for (const [i, word] of [2, text.length, 1].entries()) header.writeUInt32LE(word, 16 + 4 * i);
  return Buffer.concat([header, text]);
}
