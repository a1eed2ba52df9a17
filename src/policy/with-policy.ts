import type { Program } from '../command-line/verb.ts';
import { isPolicyName } from '../model/policy.ts';
import type { Context } from '../run/context.ts';

/** The way to a command line with `@NAME`, which most lines do not have. */

/** What a command does; a number is the exit code of the program. */
type Act = () => Promise<void> | Promise<number>;

/** Runs the command, or its line with the options of the policy that one of the words names. Returns the exit code. */
export async function withPolicy(
  ctx: Context,
  program: Program,
  words: readonly string[],
  act: Act,
): Promise<number> {
  const named = words.filter((word) => word.startsWith('@') && isPolicyName(word.slice(1)));
  if (named.length === 0) return (await act()) || 0;
  const { runWithPolicy } = await import('./run-with-policy.ts');
  return runWithPolicy(ctx, program, named, act);
}
