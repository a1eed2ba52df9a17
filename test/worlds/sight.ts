// What a world holds, by virsh and the bytes of its images alone: what each VM's disks and snapshots contain.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tryTool } from '../lab/lab.ts';
import { backingPath, contentAt, type Image, parseImage, type Tag } from './qcow2.ts';
import type { World } from './world.ts';

/** All of a world. */
export interface Seen {
  readonly vms: ReadonlyMap<string, VmState>;
  /** Every image in the directory of the world, by device and inode. */
  readonly images: ReadonlyMap<string, SeenImage>;
}

/** A VM as it was seen. Content is a hash; null: it cannot be read. */
export interface VmState {
  readonly state: string;
  readonly definition: string;
  /** By target, what the guest finds on the disk. */
  readonly disks: Contents;
  /** By target, the active file. */
  readonly paths: Readonly<Record<string, string>>;
  readonly current: string | null;
  readonly snapshots: Readonly<Record<string, SeenSnapshot>>;
}

export type Contents = Readonly<Record<string, string | null>>;

export interface SeenSnapshot {
  readonly xml: string;
  /** By target, the content that belongs to it: of an internal one that of the first tag of its name, as libvirt takes it. */
  readonly content: Contents;
  /** By target, the id of that tag: two may hold the same by chance. */
  readonly ids: Contents;
  readonly isExternal: boolean;
  /** The images that hold its tags: those of its stored definition, and where an image was moved or copied, those that the VM has now. */
  readonly images: readonly string[];
}

export interface SeenImage {
  readonly path: string;
  readonly hash: string;
  readonly content: string | null;
  readonly tags: readonly { readonly id: string; readonly name: string; readonly content: string | null }[];
}

/** What has been found out about bytes, by their hash: most of them do not change from one look to the next. */
export interface Memory {
  readonly contents: Map<string, string>;
  readonly sound: Map<string, boolean>;
}

export const newMemory = (): Memory => ({ contents: new Map(), sound: new Map() });

export function look(world: World, memory: Memory): Seen {
  const { vms, virsh } = world;
  const eye = openEye(memory);
  const seen = vms.map(({ name, uuid }) => {
    const [state = '', definition = '', live = '', current = '', list = ''] = virsh.answers([
      ['domstate', uuid],
      ['dumpxml', '--inactive', uuid],
      ['dumpxml', uuid],
      ['snapshot-current', uuid, '--name'],
      ['snapshot-list', uuid, '--name'],
    ]);
    const paths = diskPaths(live);
    const names = list.split('\n').filter((each) => each !== '');
    const xmls = virsh.answers(names.map((each) => ['snapshot-dumpxml', uuid, each]));
    const vmState: VmState = {
      state: state.trim(),
      definition,
      paths,
      disks: mapValues(paths, (path) => eye.content(path, null)),
      current: current.trim() || null,
      snapshots: Object.fromEntries(
        names.map((each, i) => [each, seeSnapshot(each, xmls[i] ?? '', paths, eye)]),
      ),
    };
    return [name, vmState] as const;
  });
  return { vms: new Map(seen), images: seeImages(world, eye) };
}

function seeSnapshot(name: string, xml: string, now: VmState['paths'], eye: Eye): SeenSnapshot {
  const stored = diskPaths(/<domain .*<\/domain>/s.exec(xml)?.[0] ?? '');
  const parts = [...xml.matchAll(/<disk name='([^']+)' snapshot='(internal|external)'/g)].map(
    ([, target = '', location]) => ({
      target,
      path: stored[target] ?? '',
      isInternal: location === 'internal',
    }),
  );
  const ofParts = (find: (path: string, tag: string | null) => string | null) =>
    Object.fromEntries(
      parts.map(({ target, path, isInternal }) => [target, find(path, isInternal ? name : null)]),
    );
  return {
    xml,
    content: ofParts(eye.content),
    ids: ofParts((path, tag) => eye.image(path)?.image.tags.find((each) => each.name === tag)?.id ?? null),
    isExternal: parts.some(({ isInternal }) => !isInternal),
    images: parts.flatMap(({ target, path, isInternal }) => {
      const keys = [path, now[target] ?? ''].filter((each) => eye.holds(each, name)).map(fileKey);
      return isInternal ? [...new Set(keys)].filter((key) => key !== null) : [];
    }),
  };
}

function seeImages({ directory }: World, eye: Eye): Map<string, SeenImage> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  const paths = files.map((each) => join(each.parentPath, each.name)).sort();
  return new Map(
    paths.flatMap((path) => {
      const found = eye.image(path);
      if (!found) return [];
      const tags = found.image.tags.map(({ id, name, table }) => ({
        id,
        name,
        content: eye.at(path, table),
      }));
      return [
        [fileKey(path) ?? path, { path, hash: found.hash, content: eye.content(path, null), tags }] as const,
      ];
    }),
  );
}

/** By target, the source files of a definition. */
function diskPaths(xml: string): Record<string, string> {
  const disks = xml.match(/<disk type='file'.*?<\/disk>/gs) ?? [];
  return Object.fromEntries(
    disks.flatMap((disk) => {
      const [, target] = /<target dev='([^']+)'/.exec(disk) ?? [];
      const [, path] = /<source file='([^']+)'/.exec(disk) ?? [];
      return target && path ? [[target, path]] : [];
    }),
  );
}

const mapValues = <T>(
  record: Readonly<Record<string, string>>,
  change: (value: string) => T,
): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

/** Device and inode: the same by whatever path; null where there is no file. */
export function fileKey(path: string): string | null {
  const found = statSync(path, { throwIfNoEntry: false });
  return found ? `${found.dev}:${found.ino}` : null;
}

/** Reads each file once, and remembers what is the same as at an earlier look. */
interface Eye {
  image(path: string): { readonly image: Image; readonly hash: string } | null;
  /** A hash of what the disk holds, or of the first snapshot of this name inside the image. */
  content(path: string, tag: string | null): string | null;
  at(path: string, table: Tag['table']): string | null;
  /** Whether the image has a tag of this name. */
  holds(path: string, tag: string): boolean;
}

function openEye({ contents }: Memory): Eye {
  const files = new Map<string, { image: Image; hash: string } | null>();
  const image = (path: string) =>
    remember(files, path, () => {
      const bytes = readFile(path);
      const parsed = bytes && parseImage(bytes);
      return parsed ? { image: parsed, hash: hashOf(parsed.bytes) } : null;
    });
  /** The bytes below an image: null, nothing; undefined, they cannot be read. */
  const below = (path: string, { backing }: Image): Buffer | null | undefined => {
    if (backing === null) return null;
    const lower = backingPath(path, backing);
    const found = image(lower);
    const bytes = found ? below(lower, found.image) : undefined;
    return found && bytes !== undefined ? contentAt(found.image, found.image.active, bytes) : undefined;
  };
  const at = (path: string, table: Tag['table']): string | null => {
    const found = image(path);
    const bytes = found ? below(path, found.image) : undefined;
    if (!found || bytes === undefined) return null;
    const key = `${found.hash} ${table.offset} ${bytes === null ? '' : hashOf(bytes)}`;
    return remember(contents, key, () => hashOf(contentAt(found.image, table, bytes)));
  };
  return {
    image,
    at,
    holds: (path, tag) => image(path)?.image.tags.some(({ name }) => name === tag) ?? false,
    content: (path, tag) => {
      const found = image(path)?.image;
      const table = tag === null ? found?.active : found?.tags.find(({ name }) => name === tag)?.table;
      return table ? at(path, table) : null;
    },
  };
}

function remember<K, T>(known: Map<K, T>, key: K, find: () => T): T {
  if (!known.has(key)) known.set(key, find());
  return known.get(key) as T;
}

const readFile = (path: string): Buffer | null =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path) : null;

const hashOf = (bytes: Buffer): string => createHash('sha1').update(bytes).digest('hex');

/** What qemu-img finds in an image, as the content of a tag; the judge of the reader in this test. */
export function contentByQemu(path: string, id: string | null): string | null {
  const copy = join(scratch, 'content.raw');
  const of = id === null ? [] : ['-l', `snapshot.id=${id}`];
  const { code } = tryTool('qemu-img', ['convert', '-U', '-f', 'qcow2', ...of, '-O', 'raw', path, copy]);
  if (code !== 0) return null;
  try {
    return hashOf(readFileSync(copy));
  } finally {
    rmSync(copy);
  }
}

/** The images of the world that are not sound by qemu-img; those that a VM writes to just now are left out. */
export function unsound({ vms, images }: Seen, { sound }: Memory): string[] {
  const inUse = [...vms.values()].flatMap(({ state, paths }) =>
    state === 'shut off' ? [] : Object.values(paths).map(fileKey),
  );
  return [...images].flatMap(([key, { path, hash }]) => {
    const check = () => tryTool('qemu-img', ['check', '-q', '-U', '-f', 'qcow2', path]).code !== 2;
    return inUse.includes(key) || remember(sound, hash, check) ? [] : [path];
  });
}
