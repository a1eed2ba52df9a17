import type { Context } from '../context.ts';
import type { Shell } from '../core/completion.ts';
import { SCRIPTS } from '../render/completion.ts';

/** `completion`: the script for a shell. */
export async function completion(ctx: Context, shell: Shell): Promise<void> {
  ctx.terminal.print(SCRIPTS[shell]);
}
