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

/** The name of a new snapshot: whether it can be used, and whether it exists already. */

/** Throws `usage` if libvirt or the images cannot store a new snapshot of this name. */
export function checkName(name: string): void {
  const problem = nameProblem(name);
  if (problem !== null)
    throw new KvmsnapError('usage', `${inText(name)} cannot be used as the name of a snapshot: ${problem}`);
}

const holdsTag = (images: Images, name: string): boolean =>
  [...images.values()].some((image) => tagsNamed(image, name).length > 0);

/**
 * Whether libvirt lists the snapshot now: another run may be taking it, and then its tag in the image is not an orphan.
 */
async function isListed(ctx: Context, uuid: string, name: string): Promise<boolean> {
  return (await readByUuid(ctx.virsh, uuid)).snapshotNames.includes(name);
}

/** The error for a name that a snapshot of the VM has already, with a free name. */
export async function existsAlready(ctx: Context, domain: Domain, name: string): Promise<KvmsnapError> {
  // the snapshots are read only for the advice, which depends on holds
  const { snapshots } = await readSnapshots(ctx.virsh, { ...domain, names: [name] }).catch(
    () => NO_SNAPSHOTS,
  );
  const advice = adviseDeletion({ domain, snapshots }, [name], {
    hint: 'choose another name, or delete the existing snapshot first',
  });
  const message = `VM ${inText(domain.name)} already has a snapshot ${inText(name)}`;
  return KvmsnapError.of('exists', null, [toErrorFinding(ctx, { what: message, ...advice })]);
}

/**
 * Throws `exists` if another run has begun a snapshot of that name since the VM was read: its tag or overlay can exist
 * before libvirt lists the snapshot.
 */
export async function requireNotBegun(
  ctx: Context,
  { domain, name, plan, images, targetFiles }: CreateFacts,
): Promise<void> {
  const isBegun =
    plan.mode === 'internal' ? holdsTag(images, name) : [...targetFiles.values()].some(({ holds }) => holds);
  if (isBegun && (await isListed(ctx, domain.uuid, name))) throw await existsAlready(ctx, domain, name);
}

/** A name that is free in libvirt and in all images, with the images that were read for it (null if none had to be read). */
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

/** How often another automatic name is tried because another run was faster with the last one. */
const RETRIES = 30;

/** Takes a snapshot with an automatic name; if another run has used that name meanwhile, reads the VM again and tries another. */
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
