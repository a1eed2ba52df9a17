import type { Context } from '../run/context.ts';

/** How often to read again, with the pause before each attempt in milliseconds. */
const LOOKS = 3;
const PAUSE_MILLISECONDS = 200;

/**
 * Reads, and reads again a few times while the result is faulty: while another process writes or deletes a snapshot,
 * qemu-img may see a half-written snapshot table (hazard 27). Returns the last result.
 */
export async function readAgainWhile<T>(
  ctx: Pick<Context, 'clock'>,
  isFlawed: (seen: T) => boolean,
  read: () => Promise<T>,
): Promise<T> {
  for (let left = LOOKS; ; left--) {
    const seen = await read();
    if (left === 0 || !isFlawed(seen)) return seen;
    await ctx.clock.sleep(PAUSE_MILLISECONDS);
  }
}
