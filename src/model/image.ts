import { stem } from './paths.ts';

/** What a disk image really contains. Its format is the one with which it is used, not the one that its bytes look like. */

/** A snapshot inside a qcow2 image. libvirt uses its `name`; a name can occur twice, an id cannot. */
export interface Tag {
  readonly id: string;
  readonly name: string;
  /** Bytes of guest memory saved with it; 0 in every disk but the one that holds the memory. */
  readonly vmStateBytes: number;
  /** When it was taken, in seconds since the epoch (UTC). */
  readonly createdAtSeconds: number;
}

/** What the first bytes of a file look like. A guest can write any bytes to the beginning of its raw disk. */
export interface Appearance {
  readonly format: string;
  /** The files or addresses that the header names and that QEMU would open, unchanged. */
  readonly names: readonly string[];
  /** Whether it names files, or may name files that are not read here. */
  readonly mayName: boolean;
}

/** One link of a backing chain. */
export interface Image {
  readonly path: string;
  readonly format: string;
  readonly virtualBytes: number;
  /** Bytes that it occupies on the host. */
  readonly allocatedBytes: number;
  readonly clusterBytes: number | null;
  readonly tags: readonly Tag[];
  /**
   * The backing file: an absolute path, or another name (`nbd:...`, `json:...`) that is not followed here. Null at the
   * end of the chain.
   */
  readonly backing: string | null;
  /** For a raw image whose first bytes are those of another format. */
  readonly looksLike: Appearance | null;
  readonly corrupt: boolean;
  readonly dirty: boolean;
  readonly encrypted: boolean;
  readonly dataFile: string | null;
  readonly refcountBits: number | null;
  /** The names of the dirty bitmaps stored in it; absent if they were not read. */
  readonly bitmaps?: readonly string[];
}

/** The result of inspecting one disk. */
export type DiskImage =
  /** The chain was read; the image in use is first. */
  | {
      readonly kind: 'seen';
      readonly chain: readonly [Image, ...Image[]];
      /** For an image that is to be converted: a path for the copy where no file exists. */
      readonly copyTo?: string | undefined;
    }
  /** The file cannot be inspected from here; `format` is libvirt's own information. */
  | {
      readonly kind: 'unseen';
      /** `pool`: it is a volume that its storage pool does not show now. */
      readonly why: 'permission' | 'remote' | 'network' | 'pool';
      readonly format: string | null;
      readonly source: 'storage pool' | "VM's XML";
    }
  /** The file or one of its backing files is missing or not an image. */
  | {
      readonly kind: 'broken';
      readonly why: 'missing' | 'backing-missing' | 'unreadable' | 'format-unrecorded';
      readonly path: string;
      readonly detail: string;
    };

/** By disk target. */
export type Images = ReadonlyMap<string, DiskImage>;

/** The backing chain, with the image in use first; empty if it was not inspected. */
export const chainOf = (image: DiskImage | undefined): readonly Image[] =>
  image?.kind === 'seen' ? image.chain : [];

/** The paths of an image and of all below it, the top first; none for an image that was not read. */
export const chainPaths = (image: DiskImage | undefined): string[] => chainOf(image).map(({ path }) => path);

/**
 * The name with which the chain continues outside of this host, which is not opened here. Null if it does not, or was
 * not inspected.
 */
export function beyondHost(image: DiskImage | undefined): string | null {
  const backing = chainOf(image).at(-1)?.backing ?? null;
  return backing?.startsWith('/') ? null : backing;
}

/** The tags in the image in use. */
export const tagsIn = (image: DiskImage | undefined): readonly Tag[] => chainOf(image)[0]?.tags ?? [];

/** The tags of that name in the image in use; libvirt needs exactly one. */
export const tagsNamed = (image: DiskImage | undefined, name: string): readonly Tag[] =>
  tagsIn(image).filter((tag) => tag.name === name);

/** The part of the chain from this file on, as an image; null if the file is not in the chain. */
export function linkOf(image: DiskImage, path: string): DiskImage | null {
  const chain = chainOf(image);
  const [link, ...below] = chain.slice(chain.findIndex((each) => each.path === path));
  return link?.path === path ? { kind: 'seen', chain: [link, ...below] } : null;
}

/** Possible names for a qcow2 copy of this file, the best first. */
export function copyNames(path: string): string[] {
  const name = `${stem(path)}.qcow2`;
  return [name, ...['', '-2', '-3', '-4', '-5', '-6', '-7', '-8', '-9'].map((n) => `${name}.new${n}`)];
}
