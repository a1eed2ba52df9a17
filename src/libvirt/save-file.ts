/**
 * A file with the memory of a VM, as a save or an external snapshot writes it. Source of the format: libvirt's
 * qemu_saveimage.h; a header of 92 bytes, then the VM's XML.
 */

const MAGIC = /^LibvirtQemud(Save|Part)/;
const HEADER_BYTES = 92;

/** So much of a file has the VM's UUID in it, where the file is of this kind. */
export const SAVE_HEAD_BYTES = 4096;

/** The UUID of the VM whose memory it is; null for a file of any other kind. `head`: the file's first bytes. */
export function savedVm(head: Uint8Array): string | null {
  const text = Buffer.from(head).toString('latin1');
  if (!MAGIC.test(text)) return null;
  return /<uuid>([0-9a-f-]{36})<\/uuid>/.exec(text.slice(HEADER_BYTES))?.[1] ?? null;
}
