import { chainOf, type DiskImage } from '../../model/image.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { damagedImage } from './disks.ts';

/** By path, the number of clusters that an image counts as free, or as used less often than they are. */
export type Undercounted = ReadonlyMap<string, number>;

/** An image that is to be changed. */
interface ChangedImage {
  readonly target: string;
  readonly image: DiskImage | undefined;
}

/**
 * The rule against a change within an image that counts its clusters too low: QEMU would write its new tables, and what the guest writes
 * next, over data of the guest or of a snapshot, with exit 0; a deletion also frees what the guest still uses. The facts have no
 * `undercounted` if nobody looked.
 */
export const againstUndercounted = <Facts extends { readonly undercounted?: Undercounted }>(
  imagesOf: (facts: Facts) => readonly ChangedImage[],
  modes?: readonly string[],
): Rule<Facts> => ({
  id: 'refcounts-too-low',
  hazards: [],
  severity: 'error',
  ...(modes && { modes }),
  find: (facts) => {
    const found = imagesOf(facts).flatMap((changed) => undercountedImage(changed, facts.undercounted) ?? []);
    return [...new Map(found.map((finding) => [finding.what, finding])).values()];
  },
});

function undercountedImage(
  { target, image }: ChangedImage,
  undercounted: Undercounted | undefined,
): Finding | null {
  const [top] = chainOf(image);
  const count = (top && undercounted?.get(top.path)) ?? 0;
  if (!top || count === 0) return null;
  const used =
    count === 1
      ? 'a cluster is in use, but the image counts it'
      : `${count} clusters are in use, but the image counts them`;
  return damagedImage(
    `disk ${target} (${top.path}): the image is damaged: ${used} as free, or as used less often, so QEMU would overwrite data in it`,
    top,
  );
}
