import { errorCode, type HostFiles } from '../host/files.ts';
import type { NamedFile } from '../model/domain-files.ts';
import { backingLocation } from '../qemu/backing-name.ts';
import { nextLink } from '../qemu/next-link.ts';
import { readOwn } from '../qemu/own-reader.ts';
import type { KnownLinks } from './known-vms.ts';
import type { Beneath } from './vm-files.ts';

/**
 * What lies beneath images, by their own headers: no tool is started for it, and nothing but files and block devices is
 * opened. What a definition calls raw is raw, whatever its first bytes look like.
 */

export interface Chains {
  readonly beneath: Beneath;
  /** Images whose header could not be read: what they lie on is not known. */
  readonly unreadable: ReadonlySet<string>;
}

/** No chain is as deep: qemu-img refuses a thousand. */
const MOST_LINKS = 1000;

/** Follows the images; `known` keeps what was read of each, for as long as its file does not change. */
export async function readChains(
  files: HostFiles,
  known: Map<string, KnownLinks>,
  images: readonly Pick<NamedFile, 'path' | 'format'>[],
): Promise<Chains> {
  const looked = new Map<string, KnownLinks>();
  const unreadable = new Set<string>();
  for (let wave = uniquePaths(images); wave.length > 0 && looked.size < MOST_LINKS * 1000; ) {
    const links = await Promise.all(wave.map((path) => readLinks(files, known, path)));
    const next: Pick<NamedFile, 'path' | 'format'>[] = [];
    for (const [i, path] of wave.entries()) {
      const link = links[i];
      if (link === 'unreadable') unreadable.add(path);
      if (link === undefined || link === 'unreadable' || link === null) continue;
      looked.set(path, link);
      if (link.backing) next.push(link.backing);
    }
    wave = uniquePaths(next).filter((path) => !looked.has(path));
  }
  const beneath: Beneath = (path, format) => {
    const found = new Set<string>();
    let at: { readonly path: string; readonly format: string | null } | null = { path, format };
    while (at !== null && at.format === 'qcow2') {
      const link: KnownLinks | undefined = looked.get(at.path);
      if (link?.dataFile) found.add(link.dataFile);
      at = link?.backing ?? null;
      if (at === null || found.has(at.path) || at.path === path) break;
      found.add(at.path);
    }
    return [...found];
  };
  return { beneath, unreadable };
}

const uniquePaths = (images: readonly Pick<NamedFile, 'path' | 'format'>[]): string[] => [
  ...new Set(images.flatMap(({ path, format }) => (format === 'qcow2' ? [path] : []))),
];

/** Null: the file is not there, or no file, so nothing lies beneath it. */
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
  // what is no qcow2 image, or a damaged one, names nothing that QEMU would use
  if (own === null) return { backing: null, dataFile: null };
  if (typeof own === 'string') return 'unreadable';
  const { dataFile } = own.image;
  const place = dataFile === null ? null : backingLocation(dataFile, path);
  const next = await nextLink(files, own);
  // libvirt starts no VM on it; what it lies on is not for its bytes to tell
  if (next.kind === 'unrecorded') return 'unreadable';
  return {
    backing: 'path' in next ? { path: next.path, format: next.kind === 'file' ? next.format : null } : null,
    dataFile: place?.kind === 'file' ? place.path : null,
  };
}
