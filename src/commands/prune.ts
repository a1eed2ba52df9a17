import type { Context } from '../context.ts';
import { type Period, parseSpan } from '../core/calendar.ts';
import { labelProblem } from '../core/labels.ts';
import type { Decision, RetentionRules } from '../core/retention.ts';
import { matcher } from '../core/selection.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import { assembleMachine, completeMachine, type Machine, reportOn } from '../host/machine.ts';
import { concludeMachines, type Deed, type MachineResult, overMachines } from '../host/over-machines.ts';
import {
  checkPruneRequest,
  type PruneCandidate,
  type Pruned,
  type PruneRequest,
  planPrune,
  prune,
} from '../host/prune-snapshots.ts';
import { readAllSnapshots, readSelection } from '../host/select.ts';
import { type MachineReading, readByUuid } from '../libvirt/machine.ts';
import { rfc3339 } from '../render/format.ts';
import { type Column, section } from '../render/view.ts';
import { domainResult, ownName } from './results.ts';
import { type SelectionOptions, toSelection } from './selection.ts';
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
  words: readonly string[],
  options: PruneOptions,
): Promise<void> {
  const request = toPruneRequest(options);
  checkPruneRequest(request);
  const selected = await readSelection(ctx, toSelection(words, options));
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: options.jobs ?? 1, skips: () => false };
  const results = await overMachines(ctx, selected, run, (ctx, reading) =>
    pruneFound(ctx, reading, known.get(reading.domain.uuid) ?? [], request),
  );
  await report(ctx, results, selected.single);
}

/**
 * Plans by what was read of all machines at once; what libvirt's word alone would delete is decided again by a look at the
 * disks and, unless it is a dry run, by a new one at the machine, whose turn may come late.
 */
async function pruneFound(
  ctx: Context,
  reading: MachineReading,
  found: readonly Snapshot[],
  request: PruneRequest,
): Promise<Deed<readonly PruneRow[]>> {
  const { domain } = reading;
  const atAGlance = planPrune(ctx, { snapshots: reportOn(reading, found, null), images: null }, request);
  if (atAGlance.every(({ keep }) => keep)) return untouched(domain.name, atAGlance);
  const machine = ctx.settings.dryRun
    ? await assembleMachine(ctx, reading, found)
    : await completeMachine(ctx, await readByUuid(ctx.virsh, domain.uuid));
  return pruneMachine(ctx, machine, request);
}

/** Plans for one machine and, unless it is a dry run, carries out. `fresh`: what the same run took. */
export async function pruneMachine(
  ctx: Context,
  machine: Machine,
  request: PruneRequest,
  fresh: string | null = null,
): Promise<Deed<readonly PruneRow[]>> {
  const { name } = machine.domain;
  const plan = planPrune(ctx, machine, request, fresh);
  if (ctx.settings.dryRun) return untouched(name, plan);
  const done = await prune(ctx, machine, plan);
  return {
    value: plan.map((decision) => ({ machine: name, decision, outcome: outcomeOf(decision, done) })),
    failures: done.flatMap(({ failure }) => failure ?? []),
    succeeded: done.filter(({ failure }) => failure === null).length,
  };
}

const untouched = (
  machine: string,
  plan: readonly Decision<PruneCandidate>[],
): Deed<readonly PruneRow[]> => ({
  value: plan.map((decision) => ({ machine, decision, outcome: decision.keep ? 'kept' : 'to be deleted' })),
  failures: [],
  succeeded: 0,
});

function outcomeOf({ snapshot, keep }: Decision<PruneCandidate>, done: readonly Pruned[]): Outcome {
  if (keep) return 'kept';
  const result = done.find(({ name }) => name === snapshot.name);
  if (!result) return 'not reached';
  return result.failure ? 'failed' : 'deleted';
}

async function report(
  ctx: Context,
  results: readonly MachineResult<readonly PruneRow[]>[],
  single: boolean,
): Promise<void> {
  const [first] = results;
  if (single && !first?.value) throw first?.failures[0] ?? ctx.interrupts.pending;
  const conclusion = concludeMachines(ctx, results, { strict: false, parts: 'deletions' });
  const rows = results.flatMap(({ value }) => value ?? []);
  await show(ctx, {
    document: {
      dryRun: ctx.settings.dryRun,
      domains: results.map((result) => ({
        ...domainResult(result),
        snapshots: (result.value ?? []).map(pruneDocument),
      })),
    },
    sections: [section({ columns: PRUNE_COLUMNS, rows })],
    names: results.flatMap(({ machine, value }) =>
      (value ?? [])
        .filter(({ outcome }) => outcome === 'deleted' || outcome === 'to be deleted')
        .map(({ decision: { snapshot } }) => (single ? snapshot.name : ownName(machine, snapshot.name))),
    ),
  });
  if (conclusion) throw conclusion;
}

export function pruneDocument({ decision, outcome }: PruneRow) {
  const { snapshot, keep, reasons } = decision;
  return { name: snapshot.name, createdAt: rfc3339(snapshot.createdAtSeconds), keep, reasons, outcome };
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
