import { type DiskImage, type Images, linkOf } from '../model/image.ts';
import { type Snapshot, type SnapshotDisk, stateFile, stateFormat } from '../model/snapshot.ts';
import type { VmReader } from '../run/context.ts';
import { type DiskLocation, readImages } from './disks.ts';
import type { Vm } from './load.ts';

/**
 * By target, the images that hold the state of a snapshot: those that its stored definition names, because libvirt
 * reverts these and not the ones in use now. Images that the VM uses, as whichever disk, were inspected before.
 */
export async function readStoredImages(
  ctx: VmReader,
  { uri, domain, images }: Pick<Vm, 'uri' | 'domain' | 'images'>,
  snapshot: Snapshot,
): Promise<Images> {
  const now = new Map(domain.disks.map((disk) => [disk.target, disk]));
  const defined = new Map(snapshot.definedDisks.map((disk) => [disk.target, disk]));
  const known = new Map<string, DiskImage>();
  const elsewhere: DiskLocation[] = [];
  for (const part of snapshot.disks) {
    const { target } = part;
    const disk = now.get(target);
    const source = stateFile(snapshot, part);
    const pool = defined.get(target)?.pool ?? null;
    const used = inUse(images, part, source, disk?.source ?? null);
    if (used && !pool?.problem) known.set(target, used);
    else
      elsewhere.push({
        target,
        source,
        pool: source === null || pool?.problem ? pool : null,
        storage: disk?.storage ?? 'file',
        driver: stateFormat(snapshot, part),
      });
  }
  return new Map([...known, ...(await readImages(ctx, uri, elsewhere))]);
}

/** What was found out about the file before; undefined if the VM does not use it. */
function inUse(
  images: Images,
  { target, location }: SnapshotDisk,
  source: string | null,
  active: string | null,
): DiskImage | undefined {
  const image = images.get(target);
  // the image in use of an external snapshot is its overlay, which holds what was written since then
  if (source === null) return location === 'internal' ? image : undefined;
  if (source === active) return image;
  const [link] = [image, ...images.values()].flatMap((each) => (each && linkOf(each, source)) ?? []);
  return link;
}
