import type { Domain } from '../../model/domain.ts';
import { chainOf, type DiskImage, type Images } from '../../model/image.ts';
import { commandLine } from '../../model/quote.ts';
import { type Finding, inOrder } from '../../model/rule.ts';
import { allInText } from '../../model/text.ts';

/**
 * Findings about dirty bitmaps in an image. QEMU loads no snapshot from an image that has one, enabled or not (5.2 to
 * 11.1).
 */

/**
 * A finding for each of the disks whose image holds bitmaps that belong to no checkpoint of libvirt. (Only libvirt
 * deletes those of a checkpoint.)
 */
export function bitmapFindings(
  { domain, images }: { readonly domain: Domain; readonly images: Images },
  targets: readonly string[],
  consequence: string,
): Finding[] {
  if (domain.checkpoints.length > 0) return [];
  return targets.flatMap((target) => bitmapFinding(target, images.get(target), consequence) ?? []);
}

function bitmapFinding(target: string, image: DiskImage | undefined, consequence: string): Finding | null {
  const [top] = chainOf(image);
  const bitmaps = top?.bitmaps ?? [];
  if (!top || bitmaps.length === 0) return null;
  const names = allInText(bitmaps);
  return {
    what: `disk ${target}: ${top.path} contains ${bitmaps.length === 1 ? 'the dirty bitmap' : 'the dirty bitmaps'} ${names} of a backup tool, and ${consequence}`,
    hint: `if no backup continues from ${bitmaps.length === 1 ? 'it, remove it' : 'them, remove them'} while the VM is off; the next backup is then a full one`,
    ...inOrder(
      bitmaps.map((name) => commandLine('qemu-img', ['bitmap', '--remove', '-f', 'qcow2', top.path, name])),
    ),
  };
}
