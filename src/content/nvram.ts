import { KvmsnapError } from '../errors.ts';
import { unlessOurs } from '../host/files.ts';
import { attributeAt, type Element, textAt } from '../libvirt/xml/element.ts';
import { readOwn } from '../qemu/own-reader.ts';
import { readTagEntries } from '../qemu/tag-entries.ts';
import type { Context } from '../run/context.ts';
import { entriesNamed, type Part } from './facts.ts';
import type { Session } from './session.ts';

/** The NVRAM of a VM's firmware, as a disk that can be copied. */

/** The target of the NVRAM among the disks, none of which can have it (libvirt: `vda`, `sdb`). */
export const NVRAM = 'nvram';

/** The NVRAM: as of the snapshot where the file contains it, else as it is now; null if there is none. */
export async function readNvram(ctx: Context, { snapshot }: Session, stored: Element): Promise<Part | null> {
  const nvram = nvramOf(stored);
  const found = nvram && (await ctx.files.stat(nvram.path).catch(unlessOurs));
  if (!nvram || !found) return null;
  const { path, format } = nvram;
  const tags = format === 'qcow2' ? await readTagEntries(ctx.files, path) : null;
  const [tag] = entriesNamed(tags, snapshot.name);
  const chain = [{ path, format }];
  return {
    target: NVRAM,
    path,
    chain,
    tagId: tag?.id ?? null,
    diskBytes: format === 'qcow2' ? await virtualBytes(ctx, path) : found.sizeBytes,
    mark: found.stamp,
  };
}

/** The size of what a qcow2 file contains. Throws `check`. */
async function virtualBytes({ files }: Context, path: string): Promise<number> {
  const own = await readOwn(files, path, 'qcow2');
  if (own !== null && typeof own === 'object') return own.image.virtualBytes;
  throw new KvmsnapError('check', `the NVRAM in ${path} is not a qcow2 image that can be read`);
}

/** Where the definition keeps the NVRAM of its firmware; null: none, or the path is not known yet. */
function nvramOf(domain: Element): { readonly path: string; readonly format: string } | null {
  const path = textAt(domain, 'os/nvram') ?? attributeAt(domain, 'os/nvram/source', 'file');
  return path === null ? null : { path, format: attributeAt(domain, 'os/nvram', 'format') ?? 'raw' };
}
