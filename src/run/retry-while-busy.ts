import { KvmsnapError } from '../errors.ts';
import { humanSpan } from '../output/format.ts';
import type { Context } from './context.ts';

/** Waiting for a VM that another job holds. */

/** Between two tries; libvirtd itself waits 30 s for a VM before it says busy. */
const RETRY_MILLISECONDS = 1000;

/**
 * Runs a task, and again for as long as `--wait` says while another job holds the VM (hazard 10). Each try must look
 * at the VM anew, and is given a context that says nothing twice. Throws the last `busy`.
 */
export async function retryWhileBusy<T>(
  ctx: Context,
  task: (ctx: Context, again: boolean) => Promise<T>,
): Promise<T> {
  const once = withNotesOnce(ctx);
  const until = ctx.clock.now() + ctx.settings.wait * 1000;
  for (let again = false; ; again = true) {
    try {
      return await task(once, again);
    } catch (error) {
      const left = until - ctx.clock.now();
      const isBusy = error instanceof KvmsnapError && error.code === 'busy';
      if (!isBusy || left <= 0 || ctx.interrupts.pending) throw error;
      ctx.terminal.progress(`waiting, ${humanSpan(Math.ceil(left / 1000))} at most: ${error.message}`);
      await ctx.clock.sleep(Math.min(RETRY_MILLISECONDS, left));
      ctx.terminal.progress('');
    }
  }
}

/** The same context, but a note that was made before is not made again. */
export function withNotesOnce(ctx: Context): Context {
  const said = new Set<string>();
  const note = (line: string) => {
    if (!said.has(line)) ctx.terminal.note(line);
    said.add(line);
  };
  return { ...ctx, terminal: { ...ctx.terminal, note } };
}
