import { KvmsnapError } from '../errors.ts';
import { type Changes, planText, type Question, questionText } from '../output/question.ts';
import type { Context, Output } from './context.ts';
import { retryWhileBusy, withNotesOnce } from './retry-while-busy.ts';

/**
 * Asks for consent before an action that loses something: load, plan, apply the rules, ask, load again and compare. If a
 * consequence has changed since the consent, kvmsnap asks again, or refuses if nobody can be asked.
 */

export interface Action<Plan> {
  /** Reads everything as it is now; throws what makes the action impossible. */
  load(ctx: Context): Promise<Plan>;
  tell(plan: Plan): Told;
  /** Whether also a script needs `--yes`. */
  readonly mustConsent?: boolean;
  /** Cleans up after a plan that is not carried out. */
  discard?(plan: Plan): Promise<void>;
}

/** What a plan means for the user. */
export interface Told {
  /** What consent is given to, one sentence each, which changes only if its content does. */
  readonly consequences: readonly string[];
  /** What is printed on stderr in a script. */
  readonly notes?: readonly string[];
  /** null: nothing is lost, and nobody is asked. */
  readonly question: (() => Promise<Question>) | null;
}

export interface Consent<Plan> {
  /** As it was when consent was given. */
  readonly plan: Plan;
  /**
   * The plan as it is now, after a wait or a write of our own. If it does more than consent was given to, asks again or throws
   * `check`. `done` says what was done so far.
   */
  renew(ctx: Context, done?: string): Promise<Plan>;
}

const NOTHING_DONE = 'nothing was changed';

/** Whether a question is needed: on a terminal, or in a script if `--yes` is required and missing. */
export const isAsked = ({ settings, terminal }: Output, mustConsent: boolean): boolean =>
  !settings.yes && !settings.dryRun && (terminal.hasPerson || mustConsent);

/**
 * Loads the plan (unless `first` has it), asks, and loads again after the answer, until the answer fits the plan. Throws
 * `declined`, or what makes the action impossible.
 */
export async function seekConsent<Plan>(
  outer: Context,
  action: Action<Plan>,
  first?: Plan,
): Promise<Consent<Plan>> {
  const ctx = withNotesOnce(outer);
  const plan = first ?? (await retryWhileBusy(ctx, action.load));
  const standing = follow(ctx, action, plan);
  try {
    await standing.ask(UNCHANGED, NOTHING_DONE);
  } catch (error) {
    await action.discard?.(standing.consent.plan);
    throw error;
  }
  const { question, notes = [] } = standing.told();
  if (!question || !isAsked(ctx, action.mustConsent ?? false))
    for (const line of notes) ctx.terminal.note(`note: ${line}`);
  return standing.consent;
}

/** The consent that was given to `agreed` before, which can be renewed. */
export const standingConsent = <Plan>(ctx: Context, action: Action<Plan>, agreed: Plan): Consent<Plan> =>
  follow(withNotesOnce(ctx), action, agreed).consent;

/** A plan that may change, with what the user was told about it. */
function follow<Plan>(ctx: Context, action: Action<Plan>, first: Plan) {
  let plan = first;
  let told = action.tell(plan);

  /** Loads the plan again; returns how it differs from what the user was told. */
  const update = async (ctx: Context): Promise<Changes> => {
    const now = await action.load(ctx);
    if (now !== plan) await action.discard?.(plan);
    const after = action.tell(now);
    const changes = changesOf(told, after);
    plan = now;
    told = after;
    return changes;
  };

  const ask = async (from: Changes, done: string): Promise<void> => {
    for (let changes = from; told.question && isAsked(ctx, action.mustConsent ?? false); ) {
      const question = await told.question();
      await confirm(ctx, question, changes, done);
      changes = await retryWhileBusy(ctx, update);
      if (!isChanged(changes)) return;
    }
  };

  const consent: Consent<Plan> = {
    get plan() {
      return plan;
    },
    async renew(ctx, done = NOTHING_DONE) {
      const changes = await update(ctx);
      if (!isChanged(changes)) return plan;
      if (isAsked(ctx, false)) await ask(changes, done);
      else refuseNew(changes.come, done);
      return plan;
    },
  };
  return { consent, ask, told: () => told };
}

/** Throws `check` if the action would now lose more than before, and nobody can be asked. */
export function requireNothingNew(before: readonly string[], now: readonly string[]): void {
  refuseNew(
    now.filter((line) => !before.includes(line)),
    NOTHING_DONE,
  );
}

function refuseNew(come: readonly string[], done: string): void {
  if (come.length === 0) return;
  throw new KvmsnapError(
    'check',
    `the command would now do more than when it started: ${come.join('; ')}; ${done}`,
    {
      hint: 'run the same command again if you want that',
    },
  );
}

/** Asks; throws `declined` unless the answer is yes. */
async function confirm(ctx: Context, question: Question, changes: Changes, done: string): Promise<void> {
  const { asks, steps = [] } = question;
  if (!ctx.terminal.hasPerson) {
    if (steps.length > 0 && ctx.settings.output !== 'json') ctx.terminal.note(planText(steps));
    throw new KvmsnapError(
      'declined',
      `confirmation is needed for "${asks}", but stdin is not a terminal; ${done}`,
      { hint: 'run the command again with --yes' },
    );
  }
  const text = questionText(question, changes);
  const answer = await ctx.terminal.ask(text, ctx.interrupts.stop).catch(endWith(done));
  if (!answer) throw new KvmsnapError('declined', `declined; ${done}`);
}

/** Has a question that Ctrl-C or the closed terminal ends say what was done so far. */
export const endWith =
  (done: string = NOTHING_DONE) =>
  (error: unknown): never => {
    const isEnded = error instanceof KvmsnapError && /^(interrupted|hung-up)$/.test(error.code);
    throw isEnded ? new KvmsnapError(error.code, `${error.message}; ${done}`) : error;
  };

const UNCHANGED: Changes = { come: [], gone: [] };

const isChanged = ({ come, gone }: Changes): boolean => come.length + gone.length > 0;

function changesOf(before: Told, now: Told): Changes {
  const without = (lines: readonly string[], others: readonly string[]) =>
    lines.filter((line) => !others.includes(line));
  return {
    come: without(now.consequences, before.consequences),
    gone: without(before.consequences, now.consequences),
  };
}
