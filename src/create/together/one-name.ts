import type { DomainReading } from '../../libvirt/domains.ts';
import { takesPart } from '../../model/domain.ts';
import { tagsIn } from '../../model/image.ts';
import type { Context } from '../../run/context.ts';
import { readImages } from '../../vm/disks.ts';
import type { NameMaker } from '../request.ts';

/** A name that is free in libvirt and in the images of all VMs. */
export async function chooseOneName(
  ctx: Context,
  readings: readonly DomainReading[],
  name: string | NameMaker,
): Promise<string> {
  if (typeof name === 'string') return name;
  const taken = new Set<string>();
  for (const { uri, domain, snapshotNames } of readings) {
    const images = await readImages(ctx, uri, domain.disks.filter(takesPart));
    for (const each of snapshotNames) taken.add(each);
    for (const tag of [...images.values()].flatMap(tagsIn)) taken.add(tag.name);
  }
  return name(Math.floor(ctx.clock.now() / 1000), (candidate) => taken.has(candidate));
}
