import { rm } from 'node:fs/promises';
import type { Context } from '../context.ts';
import { mentionedFiles, stateFiles } from '../core/delete-rules.ts';
import { type Disk, takesPart } from '../core/domain.ts';
import type { DiskImage } from '../core/image.ts';
import { quote } from '../core/quote.ts';
import { KvmsnapError } from '../errors.ts';
import { listMachines, readMachines } from '../libvirt/machine.ts';
import { inspectImage, occupiedBytes } from '../qemu/qemu-img.ts';
import { humanBytes } from '../render/format.ts';
import { isRemote, lookAtDisks } from './disks.ts';
import type { Machine } from './machine.ts';

/** A file that a deleted external snapshot had made, and that libvirt has left behind (hazard 23). */
export interface Leftover {
  readonly path: string;
  /** What it occupies on the host. */
  readonly bytes: number;
  readonly removed: boolean;
}

/**
 * Looks which of these files, which the machine's snapshots have made, are still there and used by nothing any more: neither
 * the machine nor one of its snapshots, by the whole chain under each. Removes them where that is wanted and no other machine
 * uses them either, and says the rest. What cannot be looked at counts as used.
 */
export async function clearLeftovers(
  ctx: Context,
  after: Machine,
  made: readonly string[],
  remove: boolean,
): Promise<Leftover[]> {
  if (isRemote(after.uri)) return [];
  const candidates = [...new Set(made)];
  const sizes = await Promise.all(candidates.map(occupiedBytes));
  const present = candidates.flatMap((path, i) => {
    const bytes = sizes[i] ?? null;
    return bytes === null ? [] : [{ path, bytes }];
  });
  if (present.length === 0) return [];
  const used = await filesInUse(ctx, after);
  const spare = used ? present.filter(({ path }) => !used.has(path)) : [];
  const elsewhere = remove && spare.length > 0 ? await filesElsewhere(ctx, after) : null;
  const left: Leftover[] = [];
  for (const { path, bytes } of spare) {
    const may = elsewhere !== null && !elsewhere.has(path);
    // what this user may not remove is left, and said
    const removed =
      may &&
      (await rm(path).then(
        () => true,
        () => false,
      ));
    left.push({ path, bytes, removed });
  }
  for (const line of left.map(saysOf)) ctx.terminal.note(line);
  return left;
}

function saysOf({ path, bytes, removed }: Leftover): string {
  const what = `${path} (${humanBytes(bytes)})`;
  return removed
    ? `note: removed what libvirt had left behind: ${what}`
    : `note: libvirt has left a file behind that this machine does not use: ${what}; this removes it: rm ${quote(path)}`;
}

/** Every file that the machine or one of its snapshots lies on; null when one of them cannot be looked at. */
async function filesInUse(
  ctx: Context,
  { domain, images, snapshots }: Machine,
): Promise<ReadonlySet<string> | null> {
  const states = [...new Set(snapshots.flatMap(stateFiles))];
  const below = await Promise.all(states.map((path) => inspectImage(ctx.qemuImg, path)));
  const files = filesUnder(domain.disks, [...images.values(), ...below]);
  return files && new Set([...files, ...states, ...snapshots.flatMap(mentionedFiles)]);
}

/** Every file that another machine of this libvirt lies on; null when one of them cannot be looked at. */
async function filesElsewhere(ctx: Context, { domain, uri }: Machine): Promise<ReadonlySet<string> | null> {
  const others = (await listMachines(ctx.virsh)).filter(({ uuid }) => uuid !== domain.uuid);
  const disks: Disk[] = [];
  for (const reading of await readMachines(ctx.virsh, others)) {
    if (reading instanceof KvmsnapError) return null;
    disks.push(...reading.domain.disks.filter(takesPart));
  }
  // targets of several machines are alike
  const places = disks.map((disk, i) => ({ ...disk, target: String(i) }));
  const files = filesUnder(disks, [...(await lookAtDisks(ctx, uri, places)).values()]);
  return files && new Set(files);
}

/** What the XML of these disks names, and what the chains of the images hold; null when one could not be looked at. */
function filesUnder(disks: readonly Disk[], images: readonly DiskImage[]): string[] | null {
  const named = disks.flatMap(({ source, backing }) => (source === null ? backing : [source, ...backing]));
  const seen = images.filter((image) => image.kind !== 'unseen' || image.why !== 'network');
  const chains = seen.map((image) => (image.kind === 'seen' ? image.chain : null));
  if (chains.includes(null)) return null;
  return [...named, ...chains.flatMap((chain) => (chain ?? []).map(({ path }) => path))];
}
