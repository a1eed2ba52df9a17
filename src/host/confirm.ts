import type { Context } from '../context.ts';
import { KvmsnapError } from '../errors.ts';

/**
 * Asks on a terminal; in a script consent is the name on the command line, unless `mustConsent`. Returns whether somebody
 * was asked, who may have taken long to answer. Throws `declined`.
 */
export async function confirm(ctx: Context, question: string, mustConsent = false): Promise<boolean> {
  if (ctx.settings.yes || ctx.settings.dryRun) return false;
  const answer = await ctx.terminal.ask(question, ctx.interrupts.stop);
  if (answer === false) throw new KvmsnapError('declined', 'declined; nothing was changed');
  if (answer === null && mustConsent) {
    throw new KvmsnapError('declined', `nobody to ask in a script, so nothing was changed: ${question}`, {
      hint: 'say --yes if you mean it',
    });
  }
  return answer === true;
}
