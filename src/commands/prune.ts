import type { Context } from '../context.ts';
import { type Period, parseSpan } from '../core/calendar.ts';
import { labelProblem } from '../core/labels.ts';
import type { Decision, RetentionRules } from '../core/retention.ts';
import { matcher, type Selection } from '../core/selection.ts';
import { combineFailures, KvmsnapError } from '../errors.ts';
import { completeMachine, type Machine } from '../host/machine.ts';
import {
  checkPruneRequest,
  type PruneCandidate,
  type Pruned,
  type PruneRequest,
  planPrune,
  prune,
} from '../host/prune-snapshots.ts';
import { readSelection } from '../host/select.ts';
import { domainDocument } from '../render/documents.ts';
import { rfc3339 } from '../render/format.ts';
import { type Column, section } from '../render/view.ts';
import { show } from './show.ts';

/** The rules of a retention, as options; shared with create. */
export interface RuleOptions {
  readonly label?: string;
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithin?: string;
  readonly keep?: readonly string[];
  readonly allowEmpty?: boolean;
}

export interface SelectionOptions {
  readonly all?: boolean;
  readonly exclude?: readonly string[];
  readonly state?: readonly string[];
}

export interface PruneOptions extends RuleOptions, SelectionOptions {
  readonly match?: string;
}

/** One snapshot in the plan, and what became of it. */
export interface PruneRow {
  readonly machine: string;
  readonly decision: Decision<PruneCandidate>;
  readonly outcome: Outcome;
}

type Outcome = 'kept' | 'to be deleted' | 'deleted' | 'failed' | 'not reached';

export const PRUNE_COLUMNS: readonly Column<PruneRow>[] = [
  { key: 'machine', title: 'MACHINE', kind: 'text', value: ({ machine }) => machine },
  { key: 'name', title: 'NAME', kind: 'text', value: ({ decision }) => decision.snapshot.name },
  {
    key: 'createdAt',
    title: 'CREATED',
    kind: 'time',
    value: ({ decision }) => decision.snapshot.createdAtSeconds,
  },
  {
    key: 'outcome',
    title: 'OUTCOME',
    kind: 'text',
    value: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'failed' ? 'bad' : outcome === 'kept' ? 'plain' : 'warn'),
  },
  {
    key: 'reasons',
    title: 'WHY',
    kind: 'text',
    value: ({ decision }) => decision.reasons.join(', '),
    flexible: true,
  },
];

/** `prune`: plans for every machine, says why, and deletes what no rule keeps. Goes on after a failure. */
export async function pruneMachines(
  ctx: Context,
  machines: readonly string[],
  options: PruneOptions,
): Promise<void> {
  const request = toPruneRequest(options);
  checkPruneRequest(request);
  const targets = await readSelection(ctx, toSelection(machines, options));
  const results: MachineResult[] = [];
  for (const { machine, reading } of targets) {
    if (ctx.interrupts.pending) break;
    results.push(
      reading instanceof KvmsnapError
        ? { name: machine.name, machine: null, rows: [], failures: [reading] }
        : await pruneMachine(ctx, await completeMachine(ctx, reading), request),
    );
  }
  await report(ctx, results);
}

interface MachineResult {
  readonly name: string;
  readonly machine: Machine | null;
  readonly rows: readonly PruneRow[];
  readonly failures: readonly KvmsnapError[];
}

/** Plans for one machine and, unless it is a dry run, carries out. `fresh`: what the same run took. */
export async function pruneMachine(
  ctx: Context,
  machine: Machine,
  request: PruneRequest,
  fresh: string | null = null,
): Promise<MachineResult> {
  const plan = planPrune(ctx, machine, request, fresh);
  const done = ctx.settings.dryRun ? null : await prune(ctx, machine, plan);
  const { name } = machine.domain;
  return {
    name,
    machine,
    rows: plan.map((decision) => ({ machine: name, decision, outcome: outcomeOf(decision, done) })),
    failures: (done ?? []).flatMap(({ failure }) => failure ?? []),
  };
}

function outcomeOf({ snapshot, keep }: Decision<PruneCandidate>, done: readonly Pruned[] | null): Outcome {
  if (keep) return 'kept';
  if (done === null) return 'to be deleted';
  const result = done.find(({ name }) => name === snapshot.name);
  if (!result) return 'not reached';
  return result.failure ? 'failed' : 'deleted';
}

async function report(ctx: Context, results: readonly MachineResult[]): Promise<void> {
  const rows = results.flatMap((result) => result.rows);
  const several = results.length > 1;
  await show(ctx, {
    document: {
      dryRun: ctx.settings.dryRun,
      domains: results.flatMap(({ machine, rows }) =>
        machine ? [{ ...domainDocument(machine.domain), snapshots: rows.map(pruneDocument) }] : [],
      ),
    },
    sections: [section({ columns: PRUNE_COLUMNS, rows })],
    names: rows
      .filter(({ outcome }) => outcome === 'deleted' || outcome === 'to be deleted')
      .map(({ machine, decision }) =>
        several ? `${machine}/${decision.snapshot.name}` : decision.snapshot.name,
      ),
  });
  const failures = results.flatMap((result) => result.failures);
  if (failures.length === 0) return;
  const succeeded = rows.filter(isDeleted).length;
  // a failure that stands alone is thrown as it is
  if (failures.length + succeeded > 1) noteFailures(ctx, failures);
  throw combineFailures(failures, succeeded, 'deletions');
}

export const isDeleted = ({ outcome }: PruneRow): boolean => outcome === 'deleted';

/** Says each failure, and what mends it, before they are summed up. */
export function noteFailures(ctx: Context, failures: readonly KvmsnapError[]): void {
  if (ctx.settings.output === 'json') return;
  for (const { message, hint } of failures) {
    ctx.terminal.note(`error: ${message}`);
    if (hint !== undefined) ctx.terminal.note(`hint: ${hint}`);
  }
}

export function pruneDocument({ decision, outcome }: PruneRow) {
  const { snapshot, keep, reasons } = decision;
  return { name: snapshot.name, createdAt: rfc3339(snapshot.createdAtSeconds), keep, reasons, outcome };
}

export function toSelection(words: readonly string[], { all, exclude, state }: SelectionOptions): Selection {
  if (words.length === 0 && !all)
    throw new KvmsnapError('usage', 'say which machines: names, patterns, or --all');
  if (words.length > 0 && all) throw new KvmsnapError('usage', '--all and names exclude each other');
  return { words, all: all ?? false, exclude: exclude ?? [], states: state ?? [] };
}

const PERIOD_OPTIONS: readonly (readonly [Period, (options: RuleOptions) => number | undefined])[] = [
  ['hourly', ({ keepHourly }) => keepHourly],
  ['daily', ({ keepDaily }) => keepDaily],
  ['weekly', ({ keepWeekly }) => keepWeekly],
  ['monthly', ({ keepMonthly }) => keepMonthly],
  ['yearly', ({ keepYearly }) => keepYearly],
];

/** The options of a prune as rules. Throws `usage` for a label or a span that is none. */
export function toPruneRequest(options: PruneOptions): PruneRequest {
  const { label, match, keepLast, keepWithin, keep, allowEmpty } = options;
  const problem = label === undefined ? null : labelProblem(label);
  if (problem !== null) throw new KvmsnapError('usage', `'${label}' cannot be a label: ${problem}`);
  const within = keepWithin === undefined ? undefined : parseSpan(keepWithin);
  if (within === null) {
    throw new KvmsnapError('usage', `'${keepWithin}' is no span of time`, {
      hint: 'such as 36h, 14d, 8w, 6m (months), 2y',
    });
  }
  const matchers = keep?.map(matcher);
  const rules: RetentionRules = {
    periods: Object.fromEntries(
      PERIOD_OPTIONS.flatMap(([period, count]) => {
        const given = count(options);
        return given === undefined ? [] : [[period, given]];
      }),
    ),
    allowEmpty: allowEmpty ?? false,
    ...(keepLast === undefined ? {} : { last: keepLast }),
    ...(within === undefined ? {} : { within }),
    ...(matchers === undefined
      ? {}
      : { matching: (name: string) => matchers.some((matches) => matches(name)) }),
  };
  return { scope: { label: label ?? null, matches: match === undefined ? null : matcher(match) }, rules };
}
