import { isActive } from '../model/domain.ts';
import { chainOf, type Images } from '../model/image.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { allInText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import { measureUnusedMemory } from '../qemu/image-space.ts';
import { isNotable, resizable, type UnusedMemory } from '../qemu/unused-memory.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import type { Vm } from '../vm/load.ts';

/** Saved memory in the images in use that belongs to no snapshot. */

/** By disk target, for the disks that have any. The result is meaningless while a job holds the VM. */
export async function readUnusedMemoryOf(
  { files }: Pick<Context, 'files'>,
  images: Images,
): Promise<ReadonlyMap<string, UnusedMemory>> {
  const found = await Promise.all(
    [...images].map(async ([target, image]) => {
      const [top] = chainOf(image);
      const unusedMemory = top?.format === 'qcow2' ? await measureUnusedMemory(files, top.path) : null;
      return unusedMemory && unusedMemory.bytes > 0 ? [[target, unusedMemory] as const] : [];
    }),
  );
  return new Map(found.flat());
}

/**
 * Prints how much memory of deleted snapshots an image still holds, which happens after a revert to them, and how to
 * free it.
 */
export async function noteKeptMemory(
  ctx: Pick<Context, 'files' | 'terminal' | 'virsh'>,
  { domain, images }: Vm,
  names: readonly string[],
  before: ReadonlyMap<string, UnusedMemory>,
): Promise<void> {
  const whose = allInText(names);
  const line = kvmsnapLine('check', [domain.name], '--fix');
  const { command: fix } = withConnection(ctx, { what: '', command: line });
  for (const [target, { bytes, endBytes }] of await readUnusedMemoryOf(ctx, images)) {
    const kept = bytes - (before.get(target)?.bytes ?? 0);
    if (!isNotable({ bytes: kept, endBytes })) continue;
    const off = isActive(domain.state) ? ', with the VM off' : '';
    const cure = resizable(images.get(target))
      ? `. To free it${off}:\n  ${fix}`
      : '; the next snapshot of the running VM reuses this space, and deleting that snapshot frees it';
    ctx.terminal.note(
      `note: after an earlier revert, the image of disk ${target} still contains ${humanBytes(kept)} of saved memory of ${whose}${cure}`,
    );
  }
}
