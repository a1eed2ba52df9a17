import { stem } from './paths.ts';

/** What is really in a disk image. Its format is the one that it is used by, and not the one that its bytes look like. */

/** A snapshot inside a qcow2 image. libvirt calls it by `name`; a name can occur twice, an id cannot. */
export interface Tag {
  readonly id: string;
  readonly name: string;
  /** Bytes of guest memory saved with it; 0 in every disk but the one that holds the memory. */
  readonly vmStateBytes: number;
  /** When it was taken, in seconds since the epoch (UTC). */
  readonly createdAtSeconds: number;
}

/** What the first bytes of a file look like: a guest can write any to the beginning of its raw disk. */
export interface Appearance {
  readonly format: string;
  /** The files or addresses that it names, which QEMU would open for it; as they stand there. */
  readonly names: readonly string[];
  /** It names some, or may name some that are not read here. */
  readonly mayName: boolean;
}

/** One link of a backing chain. */
export interface Image {
  readonly path: string;
  readonly format: string;
  readonly virtualBytes: number;
  /** Bytes really occupied on the host. */
  readonly allocatedBytes: number;
  readonly clusterBytes: number | null;
  readonly tags: readonly Tag[];
  /**
   * What this one is laid over: an absolute path, or the name of something else (`nbd:...`, `json:...`), where the chain
   * goes on and nothing here follows it. Null at the end of the chain.
   */
  readonly backing: string | null;
  /** Of a raw image whose first bytes are those of another format. */
  readonly looksLike: Appearance | null;
  readonly corrupt: boolean;
  readonly dirty: boolean;
  readonly encrypted: boolean;
  readonly dataFile: string | null;
  readonly refcountBits: number | null;
  /** The names of the dirty bitmaps that are stored in it; absent where it was not asked for them. */
  readonly bitmaps?: readonly string[];
}

/** What looking at one disk gave. */
export type DiskImage =
  /** The chain was read, the active image first. */
  | {
      readonly kind: 'seen';
      readonly chain: readonly [Image, ...Image[]];
      /** Of an image that is to be converted: where a copy writes over nothing. */
      readonly copyTo?: string | undefined;
    }
  /** The file cannot be looked at from here; `format` is what libvirt itself believes. */
  | {
      readonly kind: 'unseen';
      /** `pool`: it is a volume that its storage pool does not show now. */
      readonly why: 'permission' | 'remote' | 'network' | 'pool';
      readonly format: string | null;
      readonly source: 'storage pool' | "VM's XML";
    }
  /** The file, or one under it, is missing or no image. */
  | {
      readonly kind: 'broken';
      readonly why: 'missing' | 'backing-missing' | 'unreadable' | 'format-unrecorded';
      readonly path: string;
      readonly detail: string;
    };

/** By disk target. */
export type Images = ReadonlyMap<string, DiskImage>;

/** The backing chain, the active image first; empty where it was not looked at. */
export const chainOf = (image: DiskImage | undefined): readonly Image[] =>
  image?.kind === 'seen' ? image.chain : [];

export const chainPaths = (image: DiskImage | undefined): string[] => chainOf(image).map(({ path }) => path);

/** What the chain goes on with where it leaves this host: nobody here opens that. Null where it does not, or was not looked at. */
export function beyondHost(image: DiskImage | undefined): string | null {
  const backing = chainOf(image).at(-1)?.backing ?? null;
  return backing?.startsWith('/') ? null : backing;
}

/** The tags in the active image. */
export const tagsIn = (image: DiskImage | undefined): readonly Tag[] => chainOf(image)[0]?.tags ?? [];

/** The tags of that name in the active image; libvirt needs exactly one. */
export const tagsNamed = (image: DiskImage | undefined, name: string): readonly Tag[] =>
  tagsIn(image).filter((tag) => tag.name === name);

/** A link of the chain, with what it lies on, as an image of its own; null where the file is no part of the chain. */
export function linkOf(image: DiskImage, path: string): DiskImage | null {
  const chain = chainOf(image);
  const [link, ...below] = chain.slice(chain.findIndex((each) => each.path === path));
  return link?.path === path ? { kind: 'seen', chain: [link, ...below] } : null;
}

/** What a copy of this file in qcow2 may be called, the best name first. */
export function copyNames(path: string): string[] {
  const name = `${stem(path)}.qcow2`;
  return [name, ...['', '-2', '-3', '-4', '-5', '-6', '-7', '-8', '-9'].map((n) => `${name}.new${n}`)];
}
