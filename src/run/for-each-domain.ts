import pLimit from 'p-limit';
import { combineFailures, KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import type { DomainState } from '../model/domain.ts';
import { inText, mentions } from '../model/text.ts';
import { describeError } from '../output/error.ts';
import { counted } from '../output/format.ts';
import type { Target, Targets } from '../vm/select.ts';
import type { Context, Output } from './context.ts';
import { type Progress, startProgress } from './progress.ts';

/** Runs an action on each of several VMs: a failure of one does not stop the others, and each skipped one is reported. */

/** `planned`: a dry run found that it would work. */
export type Outcome = 'done' | 'planned' | 'failed' | 'skipped' | 'not reached';

/** What was done to one VM. */
export interface ActionResult<T> {
  readonly value: T;
  /** The parts of it that failed, such as single deletions, and how many succeeded. */
  readonly failures: readonly KvmsnapError[];
  readonly succeeded: number;
  /** Whether a signal came before it was finished. */
  readonly cutShort?: boolean;
}

/** A VM as a result names it; `uuid` null: there is no such VM. */
export type ResultName = Target['vm'];

export interface DomainOutcome<T> {
  readonly vm: ResultName;
  /** The state as it was first read; null if the VM could not be read. */
  readonly state: DomainState | null;
  readonly outcome: Outcome;
  /** null unless something was done. */
  readonly value: T | null;
  /** Why it failed or was skipped; with a value, what of it failed. */
  readonly failures: readonly KvmsnapError[];
  readonly succeeded: number;
  /** Whether it was skipped because of what the VM itself has chosen. */
  readonly leftOut?: boolean;
}

export interface RunOptions {
  /** How many VMs at once. */
  readonly jobs: number;
  /** The failures for which a VM that was not named explicitly is skipped. */
  readonly skips: (failure: KvmsnapError) => boolean;
}

/**
 * Runs the action on each VM, in their order, some at a time. After a signal, the running ones finish and the others are not
 * reached. Throws only errors that are not a KvmsnapError.
 */
export async function forEachDomain<T>(
  ctx: Context,
  { targets, single }: Targets,
  { jobs, skips }: RunOptions,
  act: (ctx: Context, reading: DomainReading) => Promise<ActionResult<T>>,
): Promise<DomainOutcome<T>[]> {
  const progress = single ? null : startProgress(ctx, targets.length, 'VM');
  const results = targets.map(unreached<T>);
  const limit = pLimit(jobs);
  const runs = await Promise.allSettled(
    targets.map((target, i) =>
      limit(async () => {
        if (ctx.interrupts.pending) return;
        const { name } = target.vm;
        results[i] = await doTo(progress ? contextFor(ctx, name, progress) : ctx, target, skips, act);
        progress?.finish(name);
      }),
    ),
  );
  progress?.stop();
  for (const run of runs) if (run.status === 'rejected') throw run.reason;
  return results;
}

function unreached<T>({ vm, reading }: Target): DomainOutcome<T> {
  const state = reading instanceof KvmsnapError ? null : reading.domain.state;
  return { vm, state, outcome: 'not reached', value: null, failures: [], succeeded: 0 };
}

async function doTo<T>(
  ctx: Context,
  target: Target,
  skips: RunOptions['skips'],
  act: (ctx: Context, reading: DomainReading) => Promise<ActionResult<T>>,
): Promise<DomainOutcome<T>> {
  const before = unreached<T>(target);
  try {
    if (target.reading instanceof KvmsnapError) throw target.reading;
    if (target.leftOut) return { ...before, outcome: 'skipped', failures: [target.leftOut], leftOut: true };
    return resultOf(ctx, before, await act(ctx, target.reading));
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    // the signal came while the VM was only being read
    if (error === ctx.interrupts.pending) return before;
    const outcome = !target.named && skips(error) ? 'skipped' : 'failed';
    return { ...before, outcome, failures: [error] };
  }
}

/** A VM's result, with what was done to it. */
export function resultOf<T>(
  ctx: Pick<Context, 'settings'>,
  { vm, state }: DomainOutcome<unknown>,
  { value, failures, succeeded, cutShort = false }: ActionResult<T>,
): DomainOutcome<T> {
  const fine = cutShort ? 'not reached' : ctx.settings.dryRun ? 'planned' : 'done';
  return { vm, state, value, failures, succeeded, outcome: failures.length === 0 ? fine : 'failed' };
}

/**
 * Throws the failure of a single VM that was named explicitly if nothing was done to it, because then there is no result to
 * show.
 */
export function throwIfNothingDone(
  { interrupts }: Pick<Context, 'interrupts'>,
  single: boolean,
  [first]: readonly DomainOutcome<unknown>[],
): void {
  if (single && !first?.value) throw first?.failures[0] ?? interrupts.pending;
}

/** The failure with which the whole run ends; null if it succeeded. Before, prints each failure and each skipped VM. */
export function concludeDomains(
  ctx: Output,
  results: readonly DomainOutcome<unknown>[],
  {
    strict,
    parts,
    inTable = () => false,
  }: {
    readonly strict: boolean;
    /** What a VM's failures are part of, such as `deletions`. */
    readonly parts: string;
    /** Whether the table that follows has a failure in one of its rows. */
    readonly inTable?: (failure: KvmsnapError) => boolean;
  },
): KvmsnapError | null {
  const having = (...outcomes: Outcome[]) => results.filter(({ outcome }) => outcomes.includes(outcome));
  const succeeded = having('done', 'planned').length;
  const whole = ({ failures, succeeded }: DomainOutcome<unknown>) =>
    combineFailures(
      failures,
      succeeded,
      `${failures.length} of ${failures.length + succeeded} ${parts} failed`,
    );
  // a run that did nothing at all is no success, whatever the reason
  const nothingDone = succeeded + having('failed').length === 0;
  const isExcused = ({ outcome, leftOut = false }: DomainOutcome<unknown>) =>
    outcome === 'skipped' && !nothingDone && (!strict || leftOut);
  const bad = having('failed', 'skipped').filter((result) => !isExcused(result));
  const conclusion = bad.length === 0 ? null : combineFailures(bad.map(whole), succeeded, summary(results));
  // a JSON document contains all of them
  if (ctx.settings.output === 'json') return conclusion;
  const isTable = ctx.settings.output === 'table' && ctx.terminal.isOneStream;
  const isRow = (failure: KvmsnapError) => isTable && inTable(failure);
  noteFailures(ctx, bad, (failure) => failure !== conclusion && !isRow(failure));
  noteSkips(ctx, results.filter(isExcused), isRow);
  noteEnded(ctx, having('not reached'));
  const isAlone = bad.some(({ failures: [first] }) => first === conclusion);
  return conclusion && isAlone && results.length > 1 && isRow(conclusion)
    ? new KvmsnapError(conclusion.code, summary(results))
    : conclusion;
}

type Results = readonly DomainOutcome<unknown>[];

function noteFailures(
  ctx: Pick<Context, 'terminal'>,
  results: Results,
  isNoted: (failure: KvmsnapError) => boolean,
): void {
  for (const { vm, failures } of results)
    for (const failure of failures) if (isNoted(failure)) noteFailure(ctx, vm, failure);
}

function noteSkips(
  ctx: Pick<Context, 'terminal'>,
  results: Results,
  isRow: (failure: KvmsnapError) => boolean,
): void {
  for (const { vm, failures } of results)
    if (!failures.every(isRow))
      ctx.terminal.note(`skipped ${inText(vm.name)}: ${failures.map(({ why }) => why).join('; ')}`);
}

/** Prints on which VMs no work was begun before a signal, and on which it was not finished. */
function noteEnded(ctx: Pick<Context, 'terminal'>, ended: readonly DomainOutcome<unknown>[]): void {
  const notes = {
    started: ended.filter(({ value }) => value === null),
    finished: ended.filter(({ value }) => value !== null),
  };
  for (const [what, those] of Object.entries(notes)) {
    const names = those.map(({ vm }) => inText(vm.name));
    if (names.length > 0)
      ctx.terminal.note(`note: work on ${counted(names.length, 'VM')} was not ${what}: ${names.join(', ')}`);
  }
}

/** Such as `2 of 6 VMs failed, 1 skipped, 3 not reached`. */
function summary(results: readonly DomainOutcome<unknown>[]): string {
  const counts = (['failed', 'skipped', 'not reached'] as const)
    .map((wanted) => ({ wanted, count: results.filter(({ outcome }) => outcome === wanted).length }))
    .filter(({ count }) => count > 0);
  return counts
    .map(({ wanted, count }, i) => `${count}${i === 0 ? ` of ${results.length} VMs` : ''} ${wanted}`)
    .join(', ');
}

/** Prints a failure with its hints, and the name of the VM if the message does not have it. */
function noteFailure(ctx: Pick<Context, 'terminal'>, { name }: ResultName, failure: KvmsnapError): void {
  const named = mentions(failure.message, name) ? failure : failure.prefixed(`${name}: `);
  ctx.terminal.note(describeError(named, { json: false, level: 0 }).trimEnd());
}

/** What goes on with one VM is shown in the progress line, and its notes have its name. */
function contextFor(ctx: Context, name: string, progress: Progress): Context {
  progress.tell(name, '');
  const terminal = {
    ...ctx.terminal,
    note: (line: string) => ctx.terminal.note(`${name}: ${line}`),
    progress: (detail: string) => progress.tell(name, detail),
  };
  return { ...ctx, terminal };
}
