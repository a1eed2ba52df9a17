import { errorCode, type HostFiles } from '../host/files.ts';
import type { NamedFile } from '../model/domain-files.ts';
import { backingLocation } from '../qemu/backing-name.ts';
import { nextLink } from '../qemu/next-link.ts';
import { readOwn } from '../qemu/own-reader.ts';
import type { KnownLinks } from './known-vms.ts';
import type { Beneath, FileBelow } from './vm-files.ts';

/**
 * The backing chains of images, from their own headers: no tool is started, and only files and block devices are opened. An
 * image that a definition calls raw is raw, whatever its first bytes look like.
 */

export interface Chains {
  readonly beneath: Beneath;
  /** Images whose header could not be read, so that their backing files are unknown. */
  readonly unreadable: ReadonlySet<string>;
}

/** No chain is this deep, because qemu-img refuses it. */
const MOST_LINKS = 1000;

/** Follows the backing chains of the images; `known` keeps what was read of each until its file changes. */
export async function readChains(
  files: HostFiles,
  known: Map<string, KnownLinks>,
  images: readonly Pick<NamedFile, 'path' | 'format'>[],
): Promise<Chains> {
  const followed = new Map<string, KnownLinks>();
  const unreadable = new Set<string>();
  for (let wave = uniquePaths(images); wave.length > 0 && followed.size < MOST_LINKS * 1000; ) {
    const links = await Promise.all(wave.map((path) => readLinks(files, known, path)));
    const next: Pick<NamedFile, 'path' | 'format'>[] = [];
    for (const [i, path] of wave.entries()) {
      const link = links[i];
      if (link === 'unreadable') unreadable.add(path);
      if (link === undefined || link === 'unreadable' || link === null) continue;
      followed.set(path, link);
      if (link.backing) next.push(link.backing);
    }
    wave = uniquePaths(next).filter((path) => !followed.has(path));
  }
  const beneath: Beneath = (path, format) => {
    const found = new Map<string, FileBelow>();
    let at: { readonly path: string; readonly format: string | null } | null = { path, format };
    while (at !== null && at.format === 'qcow2') {
      const link: KnownLinks | undefined = followed.get(at.path);
      if (link?.dataFile)
        found.set(link.dataFile, { path: link.dataFile, kind: 'data', isOwn: at.path === path });
      at = link?.backing ?? null;
      if (at === null || found.has(at.path) || at.path === path) break;
      found.set(at.path, { path: at.path, kind: 'below', isOwn: false });
    }
    return [...found.values()];
  };
  return { beneath, unreadable };
}

const uniquePaths = (images: readonly Pick<NamedFile, 'path' | 'format'>[]): string[] => [
  ...new Set(
    images.flatMap(({ path, format }) => (format === 'qcow2' && path.startsWith('/') ? [path] : [])),
  ),
];

/** What the header of an image names; null: there is no such file, so it has no backing file. */
async function readLinks(
  files: HostFiles,
  known: Map<string, KnownLinks>,
  path: string,
): Promise<KnownLinks | 'unreadable' | null> {
  const found = await files.stat(path).catch(errorCode);
  if (typeof found === 'string') return found === 'EACCES' ? 'unreadable' : null;
  if (found?.kind !== 'file' && found?.kind !== 'block-device') return null;
  const { stamp } = found;
  const before = known.get(path);
  if (before?.stamp === stamp && found.kind === 'file') return before;
  const links = await readHeader(files, path);
  if (links === 'unreadable') return links;
  const named = { stamp, ...links };
  known.set(path, named);
  return named;
}

async function readHeader(files: HostFiles, path: string): Promise<Omit<KnownLinks, 'stamp'> | 'unreadable'> {
  const own = await readOwn(files, path, 'qcow2');
  // a file that is not a qcow2 image, or a damaged one, names nothing that QEMU would use
  if (own === null) return { backing: null, dataFile: null };
  if (typeof own === 'string') return 'unreadable';
  const { dataFile } = own.image;
  const place = dataFile === null ? null : backingLocation(dataFile, path);
  const next = await nextLink(files, own);
  // libvirt starts no VM with it, and its bytes cannot be trusted about the backing file
  if (next.kind === 'unrecorded') return 'unreadable';
  return {
    backing: 'path' in next ? { path: next.path, format: next.kind === 'file' ? next.format : null } : null,
    dataFile: place?.kind === 'file' ? place.path : null,
  };
}
