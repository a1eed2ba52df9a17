import { isLockedAgainstWriting } from '../host/image-locks.ts';
import type { Disk } from '../model/domain.ts';
import { chainOf, type Image, type Images } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { readOwn } from '../qemu/own-reader.ts';
import type { Context } from '../run/context.ts';
import { isNamedAfter } from './plan.ts';

/** Overlays that a merge has left because it was killed before it removed them. */

/** Overlays that nothing uses, over a file that the VM uses. */
export interface LeftOverlays {
  /** The topmost one first; each is on top of the next. */
  readonly overlays: readonly [string, ...string[]];
  readonly base: Image;
}

/**
 * Which of these unused files are left of merges. None if a snapshot has lost a file, because it may be one of them.
 * `unused`: with the backing file of each.
 */
export function leftOverlaysAmong(
  unused: readonly { readonly path: string; readonly over: string | null }[],
  disks: readonly Disk[],
  images: Images,
  snapshots: readonly Pick<SnapshotReport, 'movedFiles'>[],
): LeftOverlays[] {
  if (snapshots.some(({ movedFiles }) => movedFiles)) return [];
  const above = (below: string) => unused.filter(({ over }) => over === below).map(({ path }) => path);
  return disks.flatMap(({ target }) => {
    const [base] = chainOf(images.get(target));
    if (!base) return [];
    return above(base.path).flatMap((lowest) => {
      const overlays: [string, ...string[]] = [lowest];
      for (let next = above(lowest); next.length > 0; next = above(overlays[0])) {
        if (next.length > 1) return [];
        overlays.unshift(...next);
      }
      return overlays.every((path) => isNamedAfter(path, base.path)) ? [{ overlays, base }] : [];
    });
  });
}

/** The arguments for qemu-img that compare the content of the topmost overlay with the base; a VM may be using that. */
export const leftCompareWords = ({ overlays: [top], base }: LeftOverlays): string[] => [
  ...['compare', '-q', '-U', '-f', 'qcow2', '-F', base.format, top, base.path],
];

/** Why the overlays cannot be removed; null: they can, because their content is in the base. */
export async function whyKept(ctx: Context, left: LeftOverlays): Promise<string | null> {
  for (const path of left.overlays) {
    if (await isLockedAgainstWriting(ctx.files, await ctx.files.stat(path))) return 'another program uses it';
    const own = await readOwn(ctx.files, path, 'qcow2');
    if (own === null || typeof own === 'string') return 'it cannot be read';
    if (own.image.tags.length > 0) return 'it contains snapshots';
    if (own.image.dataFile !== null) return 'it keeps its data in another file';
  }
  const [top] = left.overlays;
  ctx.terminal.progress(`comparing ${top} with ${left.base.path}`);
  try {
    const { exitCode, stderr } = await ctx.start('qemu-img', leftCompareWords(left)).ended;
    if (exitCode === 0) return null;
    return exitCode === 1
      ? `its content is not in ${left.base.path}, which may have been written to since`
      : `it cannot be compared with ${left.base.path}: ${stderr.trim()}`;
  } finally {
    ctx.terminal.progress('');
  }
}
