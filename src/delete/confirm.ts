import { combineFailures, KvmsnapError } from '../errors.ts';
import type { Selection } from '../model/input/selection.ts';
import { isAsked, seekConsent, standingConsent } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { withoutLeftPauses } from '../run/left-pauses.ts';
import type { Vm } from '../vm/load.ts';
import { readSelection, type Targets } from '../vm/select.ts';
import { tellDeletion } from './question.ts';
import {
  checkNames,
  deletionSetOfNames,
  type NamedDeletion,
  requireName,
  type Share,
  shareOut,
} from './request.ts';

/** Selects what a delete means, and asks for consent. */

/** What was consented to; shares null: nobody had to be asked. */
export interface Consented {
  readonly selected: Targets;
  readonly shares: ReadonlyMap<string, Share> | null;
}

interface Agreed extends Consented {
  readonly shares: ReadonlyMap<string, Share>;
}

/** Asks on a terminal; in a script, requires `--yes` if a pattern, `--children` or `--group` selects what is deleted. */
export async function consentToDeletion(
  ctx: Context,
  selection: Selection,
  wanted: NamedDeletion,
): Promise<Consented> {
  const select = async (ctx: Context): Promise<Targets> => {
    const selected = await withoutLeftPauses(ctx, await readSelection(ctx, selection));
    checkNames(ctx, selected, wanted);
    return selected;
  };
  const first = await select(ctx);
  const mustConsent = !first.single || wanted.scope !== 'only' || wanted.allOrNone === true;
  if (!isAsked(ctx, mustConsent) && !wanted.allOrNone) return { selected: first, shares: null };
  const load = async (ctx: Context, selected: Targets): Promise<Agreed> => {
    const shares = await shareOut(ctx, selected, wanted);
    if (selected.single) for (const { vm } of shares.values()) requireName(vm, wanted);
    if (wanted.allOrNone) requireNoneRefused(shares);
    return { selected, shares };
  };
  const loaded = await load(ctx, first);
  if (!ctx.terminal.hasPerson) requireNoneRefused(loaded.shares);
  const consent = await seekConsent(
    ctx,
    {
      load: async (ctx) => load(ctx, await select(ctx)),
      tell: ({ shares }) => tellDeletion(ctx, [...shares.values()], wanted),
      mustConsent,
    },
    loaded,
  );
  return consent.plan;
}

/** If nobody can be asked, a refusal is reported before the missing consent. Throws `check`. */
function requireNoneRefused(shares: ReadonlyMap<string, Share>): void {
  const failures = [...shares.values()].flatMap(({ refused }) => refused.map(({ failure }) => failure));
  const [first, ...others] = failures;
  if (!first) return;
  if (others.length === 0) throw first;
  const findings = failures.flatMap((failure) =>
    failure.findings.map((each) => ({
      ...each,
      message: failure.subject === null ? each.message : `${failure.subject}: ${each.message}`,
    })),
  );
  throw KvmsnapError.of(combineFailures(failures, 0, '').code, null, findings);
}

/**
 * Reads one of several VMs when its turn comes. Asks again if more would be deleted now than was agreed to. Throws
 * `declined`.
 */
export async function agreeAgain(
  ctx: Context,
  share: Share,
  wanted: NamedDeletion,
  read: (ctx: Context) => Promise<Vm>,
): Promise<Vm> {
  const shareOf = (vm: Vm): Share => ({
    ...share,
    vm,
    deletionSet: deletionSetOfNames(vm, share.names, wanted),
  });
  const action = {
    load: async (ctx: Context) => shareOf(await read(ctx)),
    tell: (now: Share) => tellDeletion(ctx, [now], wanted),
  };
  const { vm } = await standingConsent(ctx, action, shareOf(share.vm)).renew(ctx);
  return vm;
}
