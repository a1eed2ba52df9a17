import type { Context } from '../context.ts';
import { type Manual, manPage, readmeTables } from '../render/manual.ts';

/** `manual`: the man page; with `--tables` the README's tables, as JSON by name. For packagers and the build. */
export async function manual(
  ctx: Context,
  content: Manual,
  { tables }: { readonly tables?: boolean },
): Promise<void> {
  ctx.terminal.print(tables ? `${JSON.stringify(readmeTables(content), null, 2)}\n` : manPage(content));
}
