import { KvmsnapError } from '../errors.ts';
import { humanSpan } from '../output/format.ts';
import type { Context } from './context.ts';

/** Tries again while another job holds a VM. */

/** The pause between two tries; libvirtd itself waits 30 s for a VM before it reports it as busy. */
const RETRY_MILLISECONDS = 1000;

/**
 * Runs a task, and runs it again while another job holds the VM, for as long as `--wait` allows (hazard 10). Each try must
 * read the VM again, and gets a context that prints no note twice. Throws the last `busy`.
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
      ctx.terminal.progress(`waiting for at most ${humanSpan(Math.ceil(left / 1000))}: ${error.message}`);
      await ctx.clock.sleep(Math.min(RETRY_MILLISECONDS, left));
      ctx.terminal.progress('');
    }
  }
}

/** The same context, but a note that was printed before is not printed again. */
export function withNotesOnce(ctx: Context): Context {
  const printed = new Set<string>();
  const note = (line: string) => {
    if (!printed.has(line)) ctx.terminal.note(line);
    printed.add(line);
  };
  return { ...ctx, terminal: { ...ctx.terminal, note } };
}
