import type { Context } from '../run/context.ts';
import type { SelectionOptions } from '../run/select-options.ts';

/** The way to the runs that leave metrics, which most runs need not load. */

/** A run whose metrics may be wanted. */
export interface Recorded {
  readonly command: 'check' | 'create' | 'prune';
  /** The words of the command line that name the VMs. */
  readonly words: readonly string[];
  readonly options: SelectionOptions & { readonly label?: string | undefined };
}

/** What a command does; a number is the exit code of the program. */
export type Act = () => Promise<void> | Promise<number>;

/** Runs the command, and returns the exit code; its metrics are recorded if the settings ask for them. */
export async function recorded(ctx: Context, run: Recorded, act: Act): Promise<number> {
  const { metrics, output } = ctx.settings;
  if (metrics === null && output !== 'prometheus') return (await act()) || 0;
  return (await import('./recorded-run.ts')).recordRun(ctx, run, act);
}
