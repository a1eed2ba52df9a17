import { isActive } from '../model/domain.ts';
import { chainOf, type DiskImage } from '../model/image.ts';
import { undercountedClusters } from '../qemu/image-damage.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from './disks.ts';
import type { Undercounted } from './findings/undercounted.ts';
import type { Vm } from './load.ts';
import { readAgainWhile } from './read-again.ts';

/** What was read before, by path; of a series of changes by QEMU, only the first needs to look at an image. */
export type KnownCounts = Map<string, Promise<number>>;

/**
 * Reads how many clusters the qcow2 images of a VM that is off count too low. The counts of a running VM are in QEMU's memory. Where it
 * looks wrong, it is read again, because another program may be writing.
 */
export async function readUndercounted(
  ctx: Pick<Context, 'files' | 'clock'>,
  { domain, uri }: Pick<Vm, 'uri'> & { readonly domain: Pick<Vm['domain'], 'state'> },
  images: Iterable<DiskImage | undefined>,
  known: KnownCounts = new Map(),
): Promise<Undercounted> {
  if (isActive(domain.state) || isRemote(uri)) return new Map();
  const tops = [...images].flatMap((image) => chainOf(image)[0] ?? []);
  const paths = new Set(tops.filter(({ format }) => format === 'qcow2').map(({ path }) => path));
  const read = (path: string) =>
    readAgainWhile(
      ctx,
      (clusters) => clusters > 0,
      () => undercountedClusters(ctx.files, path),
    );
  const counts = await Promise.all(
    [...paths].map(async (path) => {
      const count = known.get(path) ?? read(path);
      known.set(path, count);
      return [path, await count] as const;
    }),
  );
  return new Map(counts);
}
