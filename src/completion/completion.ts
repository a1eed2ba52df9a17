import { KvmsnapError } from '../errors.ts';
import type { Context } from '../run/context.ts';
import type { Shell } from './grammar.ts';
import { SCRIPTS } from './scripts.ts';

/** `completion`: prints the script for a shell. */
export async function completion(ctx: Context, shell: Shell): Promise<void> {
  if (ctx.settings.output !== 'table')
    throw new KvmsnapError('usage', 'completion cannot be combined with -o, --json or -q');
  ctx.terminal.print(SCRIPTS[shell]);
}
