import type { Context } from '../context.ts';
import type { Selection } from '../core/selection.ts';
import { isAsked, seekConsent } from '../host/consent.ts';
import { readSelection, type Targets } from '../host/select.ts';
import { tellDeletion } from './deletion-question.ts';
import { checkNames, requireName, type Share, shareOut, type Wanted } from './deletion-request.ts';

/** Selecting what a delete means, and having it consented to. */

/** What was consented to; shares null: nobody is asked for what is named. */
export interface Consented {
  readonly selected: Targets;
  readonly shares: ReadonlyMap<string, Share> | null;
}

/** Asks for what is not named: on a terminal always, in a script what a pattern or `--children` selects. */
export async function consentToDeletion(
  ctx: Context,
  selection: Selection,
  wanted: Wanted,
): Promise<Consented> {
  const select = async (ctx: Context): Promise<Targets> => {
    const selected = await readSelection(ctx, selection);
    checkNames(selected, wanted);
    return selected;
  };
  const first = await select(ctx);
  const mustConsent = !first.single || wanted.reach !== 'only';
  if (!isAsked(ctx, mustConsent)) return { selected: first, shares: null };
  const load = async (ctx: Context, selected: Targets): Promise<Required<Consented>> => {
    const shares = await shareOut(ctx, selected, wanted);
    if (selected.single) for (const { machine } of shares.values()) requireName(machine, wanted);
    return { selected, shares };
  };
  const consent = await seekConsent(
    ctx,
    {
      load: async (ctx) => load(ctx, await select(ctx)),
      tell: ({ shares }) => tellDeletion(ctx, [...(shares?.values() ?? [])], wanted),
      mustConsent,
    },
    await load(ctx, first),
  );
  return consent.plan;
}
