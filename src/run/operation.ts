import type { KvmsnapError } from '../errors.ts';
import type { Writer } from '../host/interrupts.ts';
import type { LogEntry } from '../host/log-entry.ts';
import type { Finding, RuledFinding } from '../model/rule.ts';
import { requireNothingNew, seekConsent, standingConsent, type Told } from './confirm.ts';
import type { Context } from './context.ts';
import { refuseOn } from './enforce.ts';
import { withResidue } from './failed-write.ts';
import { retryWhileBusy, withNotesOnce } from './retry-while-busy.ts';
import type { WriteEnd } from './write.ts';

/**
 * The one way in which kvmsnap changes a VM or an image:
 *
 *     load -> rules -> settled? -> [dry run: plan] -> consent -> backup -> load again, compare -> prepare -> write -> verify -> residue
 *
 * A verb describes its change as an `Operation` with one member for each step, and `operate` takes the steps in this order.
 * A step that a change does not need is `skip(why)`. After a question, a wait for a busy VM or a backup, everything is loaded
 * and checked again; if there is a new consequence, the user is asked again, and a script refuses.
 */
export interface Operation<Facts, Seen, Done, Plan, End = WriteEnd> {
  /**
   * Reads everything as it is now, and works out what to do. Throws what makes that impossible. `again`: it was loaded before,
   * and may have changed.
   */
  load(ctx: Context, again: boolean): Promise<Facts>;
  /** The result if there is nothing to do; null: there is. */
  readonly settled: Skipped | ((facts: Facts) => Done | null);
  /** Rules that may refuse, table by table: only the findings of the first table that refuses are reported. */
  readonly rules: Skipped | readonly RuleTable<Facts>[];
  /** What `--dry-run` prints. */
  readonly plan: Skipped | ((ctx: Context, facts: Facts) => Plan | Promise<Plan>);
  readonly consent: Skipped | AskedConsent<Facts> | GivenConsent<Facts>;
  /**
   * What stands around the write, after all checks: calls `act` once, which loads and checks everything again and then writes, and
   * returns what it returns. Absent: nothing.
   */
  around?(ctx: Context, facts: Facts, act: () => Promise<Done>): Promise<Done>;
  /** Prepares what the write needs, such as a file for virsh, and returns the facts with it. */
  readonly prepare: Skipped | ((ctx: Context, facts: Facts) => Promise<Facts>);
  readonly write: WriteStep<Facts, End>;
  /** What the system's log keeps of it, whether it succeeds or fails. */
  readonly log: Skipped | ((facts: Facts) => LogEntry);
  /** Verifies that the change was made; a success of virsh is no proof. */
  readonly verify: (ctx: Context, facts: Facts, end: End) => Promise<Verified<Seen, Done>>;
  /** What a failed write has left behind, each with the fix; `seen` is what the verification has read. */
  readonly residue:
    | Skipped
    | ((
        ctx: Context,
        facts: Facts,
        seen: Seen,
        failure: KvmsnapError,
      ) => Promise<readonly Finding[]> | readonly Finding[]);
}

/** A step that a change does not need, and why. */
export interface Skipped {
  readonly skipped: string;
}

/** A step that this change does not need, and why. */
export const skip = (why: string): Skipped => ({ skipped: why });

export interface RuleTable<Facts> {
  /** Such as `cannot revert web-1 to s1`. */
  cannot(facts: Facts): string;
  find(facts: Facts): readonly RuledFinding[];
  /** Whether advisory checks are overridden. */
  readonly force: boolean;
}

/** The user is asked; in a script, notes are printed. */
export interface AskedConsent<Facts> {
  asks(ctx: Context, facts: Facts): Told;
  /** Whether also a script needs `--yes`; absent: it does not. */
  readonly mustConsent?: boolean;
  /** A write before the write that saves what would be lost. Null: none is requested. */
  readonly backup: Skipped | ((ctx: Context, facts: Facts) => Promise<Backup | null>);
}

/** Consent was given before: by one question over all VMs, or in a script by naming what is meant. */
export interface GivenConsent<Facts> {
  /** How consent was given. */
  readonly given: string;
  /** What consent was given to, in sentences that change only if their content does; a new consequence is refused. */
  consequences(facts: Facts): readonly string[];
  /** Notes that are printed before the write. */
  notes?(ctx: Context, facts: Facts): readonly string[];
}

export interface Backup {
  /** What is done by then, for the message if nothing else was: `backup b1 is complete, and nothing was reverted`. */
  readonly done: string;
}

interface WriteStep<Facts, End> {
  /** What continues if kvmsnap stops waiting: `the revert of web-1 to s1`. */
  subject(ctx: Context, facts: Facts): string;
  /** Which program continues; null: none, because kvmsnap does the write itself, at once. Absent: libvirtd. */
  readonly by?: Writer | null;
  run(ctx: Context, facts: Facts): Promise<End>;
}

export type Verified<Seen, Done> =
  | { readonly done: Done }
  | { readonly failure: KvmsnapError; readonly seen: Seen };

export type Operated<Done, Plan> = { readonly done: Done } | { readonly planned: Plan };

/** Takes an operation through its steps. Throws a refusal, a failure or `declined`, and `busy` when `--wait` is over. */
export async function operate<Facts, Seen, Done, Plan, End>(
  outer: Context,
  operation: Operation<Facts, Seen, Done, Plan, End>,
): Promise<Operated<Done, Plan>> {
  const ctx = withNotesOnce(outer);
  const { consent } = operation;
  if (isTaken(consent) && 'asks' in consent) return operateWithConsent(ctx, operation, consent);
  let first: Facts | null = null;
  return retryWhileBusy(ctx, async (ctx, again) => {
    const facts = await loadChecked(ctx, operation, again);
    if (isTaken(consent) && first !== null)
      requireNothingNew(consent.consequences(first), consent.consequences(facts));
    first ??= facts;
    const early = settledOf(operation, facts) ?? (await plannedOf(ctx, operation, facts));
    if (early) return early;
    if (isTaken(consent))
      for (const line of consent.notes?.(ctx, facts) ?? []) ctx.terminal.note(`note: ${line}`);
    return { done: await act(ctx, operation, facts) };
  });
}

/** The same for an operation that asks: after the wait for an answer, and after a backup, the facts are out of date. */
async function operateWithConsent<Facts, Seen, Done, Plan, End>(
  ctx: Context,
  operation: Operation<Facts, Seen, Done, Plan, End>,
  { asks, backup, mustConsent = false }: AskedConsent<Facts>,
): Promise<Operated<Done, Plan>> {
  const first = await retryWhileBusy(ctx, (ctx, again) => loadChecked(ctx, operation, again));
  const early = settledOf(operation, first);
  if (early) return early;
  const action = {
    load: (ctx: Context) => loadChecked(ctx, operation, true),
    tell: (facts: Facts) => asks(ctx, facts),
    mustConsent,
  };
  const consent = await seekConsent(ctx, action, first);
  const planned = await plannedOf(ctx, operation, consent.plan);
  if (planned) return planned;
  const kept = isTaken(backup) ? await backup(ctx, consent.plan) : null;
  return retryWhileBusy(ctx, async (ctx, again) => {
    const isOld = again || kept !== null;
    const facts = isOld ? await consent.renew(ctx, kept?.done) : consent.plan;
    return { done: await act(ctx, operation, facts) };
  });
}

/**
 * Carries out one of several operations to which one question gave consent; `agreed`: as it was then. Everything is loaded and checked
 * again, and if it would now do more, the user is asked anew, and a script refuses.
 */
export async function operateAgreed<Facts, Seen, Done>(
  outer: Context,
  operation: Operation<Facts, Seen, Done, unknown>,
  asks: AskedConsent<Facts>['asks'],
  agreed: Facts,
): Promise<Done> {
  const ctx = withNotesOnce(outer);
  const action = {
    load: (ctx: Context) => loadChecked(ctx, operation, true),
    tell: (facts: Facts) => asks(ctx, facts),
  };
  const consent = standingConsent(ctx, action, agreed);
  return retryWhileBusy(ctx, async (ctx) => act(ctx, operation, await consent.renew(ctx)));
}

const isTaken = <Step extends object>(step: Step | Skipped): step is Step => !('skipped' in step);

/** Loads an operation, and refuses what its rules refuse. */
export async function loadChecked<Facts>(
  ctx: Context,
  { load, rules }: Pick<Operation<Facts, never, never, never>, 'load' | 'rules'>,
  again: boolean,
): Promise<Facts> {
  const facts = await load(ctx, again);
  for (const { cannot, find, force } of isTaken(rules) ? rules : [])
    refuseOn(ctx, cannot(facts), find(facts), force);
  return facts;
}

function settledOf<Facts, Done>(
  { settled }: { readonly settled: Skipped | ((facts: Facts) => Done | null) },
  facts: Facts,
): { readonly done: Done } | null {
  const done = isTaken(settled) ? settled(facts) : null;
  return done === null ? null : { done };
}

async function plannedOf<Facts, Plan>(
  ctx: Context,
  { plan }: { readonly plan: Skipped | ((ctx: Context, facts: Facts) => Plan | Promise<Plan>) },
  facts: Facts,
): Promise<{ readonly planned: Plan } | null> {
  if (!ctx.settings.dryRun) return null;
  if (!isTaken(plan)) throw new Error(`a dry run does not come here: ${plan.skipped}`);
  return { planned: await plan(ctx, facts) };
}

/** Writes, with what stands around it. */
function act<Facts, Seen, Done, Plan, End>(
  ctx: Context,
  operation: Operation<Facts, Seen, Done, Plan, End>,
  loaded: Facts,
): Promise<Done> {
  const { around } = operation;
  if (!around) return writeAndVerify(ctx, operation, loaded);
  return around(ctx, loaded, async () =>
    writeAndVerify(ctx, operation, await loadChecked(ctx, operation, true)),
  );
}

/** Writes and verifies; a failure is thrown with what it has left behind. */
async function writeAndVerify<Facts, Seen, Done, Plan, End>(
  ctx: Context,
  { prepare, write, log, verify, residue }: Operation<Facts, Seen, Done, Plan, End>,
  loaded: Facts,
): Promise<Done> {
  const facts = isTaken(prepare) ? await prepare(ctx, loaded) : loaded;
  const { by = 'libvirtd' } = write;
  const task = async () => {
    ctx.onChange?.();
    const end = await write.run(ctx, facts);
    const verified = await verify(ctx, facts, end);
    if ('done' in verified) return verified.done;
    const { failure, seen } = verified;
    const left = isTaken(residue) ? await residue(ctx, facts, seen, failure) : [];
    throw left.length === 0 ? failure : withResidue(ctx, failure, left);
  };
  const acting = by === null ? task() : ctx.interrupts.protect(write.subject(ctx, facts), task, by);
  return isTaken(log) ? recorded(ctx, log(facts), acting) : acting;
}

/** Waits for the end of an action, and records it. */
async function recorded<Done>(ctx: Context, entry: LogEntry, acting: Promise<Done>): Promise<Done> {
  try {
    const done = await acting;
    await ctx.recordAction(entry, 'done');
    return done;
  } catch (error) {
    await ctx.recordAction(entry, `failed: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}
