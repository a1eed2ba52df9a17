import { unlessOurs } from '../host/files.ts';
import { chainOf, type DiskImage, linkOf, tagsNamed } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { stateFile } from '../model/snapshot.ts';
import type { ServedImage } from '../qemu/serving.ts';
import { readTagEntries, type TagEntries } from '../qemu/tag-entries.ts';
import { readStates } from '../revert/state-files.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import type { StateFile } from '../vm/external-state.ts';
import type { Vm } from '../vm/load.ts';
import { type Moved, movedDisks } from '../vm/moved-images.ts';
import { readStoredImages } from '../vm/stored-disks.ts';

/** Where the disks of a snapshot are, as they were at its time. */

/** One disk of a snapshot. */
export interface DiskContent {
  readonly target: string;
  readonly location: string;
  /** The file that holds it: the image with the tag, or the backing file of the overlay. */
  readonly path: string | null;
  readonly image: DiskImage | undefined;
  /** Of an internal snapshot, what the image holds; null for an external one, and for an image that was not read. */
  readonly tags: TagEntries | null;
}

/** What the rules need. */
export interface ContentFacts extends Vm {
  readonly snapshot: SnapshotReport;
  readonly isOnOtherHost: boolean;
  readonly disks: readonly DiskContent[];
  /** Internal disks whose image has another path now. */
  readonly moved: readonly Moved[];
  /** The files of an external snapshot, and the backing files of any. */
  readonly states: readonly StateFile[];
}

/** A disk that can be read. */
export interface Part extends ServedImage {
  readonly target: string;
  /** The file that holds it. */
  readonly path: string;
  /** The size of the disk at the time of the snapshot. */
  readonly diskBytes: number;
  /** As long as this is the same, so is the content. */
  readonly mark: string;
}

/** Looks for the disks of a snapshot, or for those with these targets. */
export async function readContent(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  targets: readonly string[] | null,
): Promise<ContentFacts> {
  const disks = snapshot.disks.filter(({ target }) => targets === null || targets.includes(target));
  const isOnOtherHost = isRemote(vm.uri);
  const none = { ...vm, snapshot, isOnOtherHost, disks: [], moved: [], states: [] };
  if (isOnOtherHost) return none;
  const stored = await readStoredImages(ctx, vm, snapshot);
  const moved = movedDisks(snapshot, vm.images, stored);
  const states = await readStates(ctx, vm, snapshot, stored);
  const found = await Promise.all(
    disks.map(async (disk): Promise<DiskContent> => {
      const { target, location } = disk;
      const at = { path: stateFile(snapshot, disk), image: stored.get(target) };
      const { path, image } = location === 'internal' ? (placeOf(vm, snapshot, moved, target, at) ?? at) : at;
      const isRead = location === 'internal' && image?.kind === 'seen' && image.chain[0].format === 'qcow2';
      const file = image?.kind === 'seen' ? image.chain[0].path : null;
      return {
        ...{ target, location, path, image },
        tags: isRead && file !== null ? await readTagEntries(ctx.files, file) : null,
      };
    }),
  );
  return { ...none, disks: found, moved, states: states.filter(({ target }) => isAmong(disks, target)) };
}

const isAmong = (disks: readonly { readonly target: string }[], target: string): boolean =>
  disks.some((disk) => disk.target === target);

type Place = Pick<DiskContent, 'path' | 'image'>;

/** The present place of a disk whose image was moved; null if it was not, or if the tag is where libvirt looks for it. */
function placeOf(
  { images }: Pick<Vm, 'images'>,
  { name }: SnapshotReport,
  moved: readonly Moved[],
  target: string,
  stored: Place,
): Place | null {
  const move = moved.find((each) => each.target === target && each.doubt === null);
  if (!move || tagsNamed(stored.image, name).length > 0) return null;
  const [image] = [...images.values()].flatMap((each) => linkOf(each, move.to) ?? []);
  return image ? { path: move.to, image } : null;
}

/** The parts of a snapshot that the rules have found readable. */
export async function readParts(ctx: Context, { snapshot, disks }: ContentFacts): Promise<Part[]> {
  return Promise.all(
    disks.map(async ({ target, path, image, tags }): Promise<Part> => {
      const chain = chainOf(image);
      const [top] = chain;
      if (!top || path === null) throw new Error(`disk ${target} of ${snapshot.name} cannot be read`);
      const tag = entriesNamed(tags, snapshot.name)[0] ?? null;
      const files = tag === null ? chain : chain.slice(1);
      const marks = await Promise.all(files.map((link) => fileMark(ctx, link.path)));
      return {
        ...{ target, path: top.path, chain },
        tagId: tag?.id ?? null,
        diskBytes: tag?.diskBytes ?? top.virtualBytes,
        mark: [...(tag === null ? [] : [tag.mark]), ...marks].join(' '),
      };
    }),
  );
}

/** The entries with that name; none if the image was not read. */
export const entriesNamed = (tags: TagEntries | null, name: string) =>
  tags && 'entries' in tags ? tags.entries.filter((entry) => entry.name === name) : [];

/** Changes with the content of a file; not with its owner, which libvirt changes when a VM starts. */
export async function fileMark({ files }: Pick<Context, 'files'>, path: string): Promise<string> {
  const found = await files.stat(path).catch(unlessOurs);
  return found ? `${found.identity}:${found.sizeBytes}:${found.writtenAt}` : 'gone';
}
