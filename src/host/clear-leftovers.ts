import { rm } from 'node:fs/promises';
import type { Context } from '../context.ts';
import { quote } from '../core/quote.ts';
import { humanBytes } from '../render/format.ts';
import { isRemote } from './disks.ts';
import { occupiedBytes } from './files.ts';
import type { Machine } from './machine.ts';
import { filesInUse, readNeighbours, usersOf } from './neighbours.ts';

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
  const spare = used.mayBeMore ? [] : present.filter(({ path }) => !used.paths.has(path));
  const paths = spare.map(({ path }) => path);
  const free = new Set(remove && spare.length > 0 ? await unusedElsewhere(ctx, after, paths) : []);
  const left: Leftover[] = [];
  for (const { path, bytes } of spare) {
    // what this user may not remove is left, and said
    const removed =
      free.has(path) &&
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

/** Those that no other machine needs, as they are now; none where something cannot be looked at. */
async function unusedElsewhere(
  ctx: Context,
  { uri, domain }: Machine,
  paths: readonly string[],
): Promise<string[]> {
  const others = (await readNeighbours(ctx)).filter(({ machine }) => machine.uuid !== domain.uuid);
  if (others.some(({ mayBeMore }) => mayBeMore)) return [];
  const users = await usersOf(uri, others, paths);
  return paths.filter((path) => !users.has(path));
}
