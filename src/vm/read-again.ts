import type { Context } from '../run/context.ts';

/** Further looks, and the pause before each. */
const LOOKS = 3;
const PAUSE_MILLISECONDS = 200;

/**
 * Looks, and again a few times while what it sees is flawed: while another process writes a snapshot or deletes one,
 * qemu-img may see an image's table of snapshots half written (hazard 27). Returns the last look.
 */
export async function readAgainWhile<T>(
  ctx: Context,
  isFlawed: (seen: T) => boolean,
  read: () => Promise<T>,
): Promise<T> {
  for (let left = LOOKS; ; left--) {
    const seen = await read();
    if (left === 0 || !isFlawed(seen)) return seen;
    await ctx.clock.sleep(PAUSE_MILLISECONDS);
  }
}
