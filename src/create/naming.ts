import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { NO_SNAPSHOTS, readSnapshots } from '../libvirt/snapshots.ts';
import { adviseDeletion } from '../model/deletion-advice.ts';
import type { Domain } from '../model/domain.ts';
import { takesPart } from '../model/domain.ts';
import { type Images, tagsIn, tagsNamed } from '../model/image.ts';
import { nameProblem } from '../model/names.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { toErrorFinding } from '../run/enforce.ts';
import { readImages } from '../vm/disks.ts';
import type { NameMaker } from './request.ts';
import type { CreateFacts } from './rules/facts.ts';

/** The name of a new snapshot: whether it can be used, and whether it is taken already. */

/** Throws `usage` when libvirt or the images could not hold a new snapshot of this name. */
export function checkName(name: string): void {
  const problem = nameProblem(name);
  if (problem !== null)
    throw new KvmsnapError('usage', `${inText(name)} cannot be the name of a snapshot: ${problem}`);
}

const holdsTag = (images: Images, name: string): boolean =>
  [...images.values()].some((image) => tagsNamed(image, name).length > 0);

/**
 * Whether libvirt lists the snapshot by now: another run may be taking it, and then its tag in the image is no
 * orphan.
 */
async function isListed(ctx: Context, uuid: string, name: string): Promise<boolean> {
  return (await readByUuid(ctx.virsh, uuid)).snapshotNames.includes(name);
}

export async function existsAlready(ctx: Context, domain: Domain, name: string): Promise<KvmsnapError> {
  // read only for the advice, which depends on whether the snapshot is on hold
  const { snapshots } = await readSnapshots(ctx.virsh, { ...domain, names: [name] }).catch(
    () => NO_SNAPSHOTS,
  );
  const advice = adviseDeletion({ domain, snapshots }, [name], {
    hint: 'choose another name, or delete that one first',
  });
  const message = `the VM ${inText(domain.name)} already has a snapshot ${inText(name)}`;
  return KvmsnapError.of('exists', null, [toErrorFinding({ what: message, ...advice })]);
}

/**
 * Throws `exists` where another run has begun a snapshot of that name since the VM was read: its tag or overlay may be there
 * before the snapshot is listed to us.
 */
export async function requireNotBegun(
  ctx: Context,
  { domain, name, plan, images, targetFiles }: CreateFacts,
): Promise<void> {
  const isBegun =
    plan.mode === 'internal' ? holdsTag(images, name) : [...targetFiles.values()].some(({ holds }) => holds);
  if (isBegun && (await isListed(ctx, domain.uuid, name))) throw await existsAlready(ctx, domain, name);
}

/** The name, with the images that were read to find it: in none of them, and not in libvirt, it is taken. Null: none had to be. */
export async function chooseName(
  ctx: Context,
  { uri, domain, snapshotNames }: DomainReading,
  name: string | NameMaker,
): Promise<{ readonly name: string; readonly images: Images | null }> {
  if (typeof name === 'string') return { name, images: null };
  const images = await readImages(ctx, uri, domain.disks.filter(takesPart));
  const inImages = [...images.values()].flatMap(tagsIn).map((tag) => tag.name);
  const taken = new Set([...snapshotNames, ...inImages]);
  return { name: name(Math.floor(ctx.clock.now() / 1000), (candidate) => taken.has(candidate)), images };
}

/** How often an automatic name is made anew because another run has taken it: each of them gets its own in the end. */
const RETRIES = 30;

/** Takes a snapshot of an automatic name, and once more of the VM as it is then where another run was quicker. */
export async function withNewNames<T>(
  ctx: Context,
  reading: DomainReading,
  take: (reading: DomainReading) => Promise<T>,
): Promise<T> {
  let now = reading;
  for (let left = RETRIES; ; left--) {
    try {
      return await take(now);
    } catch (error) {
      if (!(error instanceof KvmsnapError) || error.code !== 'exists' || left === 0) throw error;
      now = await readByUuid(ctx.virsh, reading.domain.uuid);
    }
  }
}
