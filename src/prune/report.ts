import type { Context } from '../run/context.ts';
import type { Decision } from './retention.ts';
import type { Leftover } from '../delete/remove-leftover-files.ts';
import { isAsked } from '../run/confirm.ts';
import type { Contender } from './free-space-candidates.ts';
import { type Foreseen, type Freed, foreseeFreed, NOTHING_FREED, whatIsFreed } from '../space/reclaimed.ts';
import { assembleMachine, type Machine, readAgain, reportOn, requireAllRead } from '../vm/load.ts';
import {
  concludeMachines,
  type Deed,
  type MachineResult,
  overMachines,
  type ResultName,
  requireDeed,
  resultOf,
} from '../run/for-each-domain.ts';
import { planDeletions } from '../delete/dry-run.ts';
import type { SpacePruned, SpaceRequest, SpaceRun } from './free-space.ts';
import {
  checkPruneRequest,
  deletionBy,
  notPruned,
  type PruneCandidate,
  type Pruned,
  type PruneRequest,
  planWithExternal,
  prune,
  pruneFailures,
} from './prune.ts';
import { readAllSnapshots, readSelection } from '../vm/select.ts';
import type { MachineReading } from '../libvirt/domains.ts';
import { NO_SNAPSHOTS, type SnapshotsRead } from '../libvirt/snapshots.ts';
import { rfc3339 } from '../output/format.ts';
import { type Column, MACHINE_COLUMN, section } from '../output/view.ts';
import {
  concludeSpace,
  type FreedOf,
  freedDocument,
  freedLines,
  sayForeseen,
  spaceDocument,
  spaceLines,
} from '../space/reclaimed-report.ts';
import { agreeToPrune } from './question.ts';
import { domainResult, ownName } from '../run/results.ts';
import { type ScopeOptions, toPruneRequest } from './options.ts';
import { type SelectionOptions, toSelection } from '../run/select-options.ts';
import { show } from '../run/show.ts';

/** What a prune did to one machine, or in a dry run would do. */
export interface PruneResult {
  readonly rows: readonly PruneRow[];
  /** In a dry run, what is foreseen. */
  readonly freed: Freed;
  readonly leftovers: readonly Leftover[];
}

export interface PruneOptions extends ScopeOptions, SelectionOptions {}

/** One snapshot in the plan, and what became of it. */
export interface PruneRow {
  readonly machine: string;
  readonly decision: Decision<PruneCandidate>;
  readonly outcome: Outcome;
  /** In a dry run: what deleting it alone frees; null when not known. */
  readonly freesBytes: number | null;
  readonly approximate: boolean;
}

type Outcome = 'kept' | 'to be deleted' | 'deleted' | 'failed' | 'not reached';

const COLUMNS: readonly Column<PruneRow>[] = [
  MACHINE_COLUMN,
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

const FREES: Column<PruneRow> = {
  key: 'freesBytes',
  title: 'FREES',
  kind: 'bytes',
  value: ({ freesBytes }) => freesBytes,
  approximate: ({ approximate }) => approximate,
};

export const pruneColumns = (dryRun: boolean): readonly Column<PruneRow>[] =>
  dryRun ? [...COLUMNS.slice(0, -1), FREES, ...COLUMNS.slice(-1)] : COLUMNS;

/**
 * `prune`: plans for every machine, says why, and deletes what no rule keeps, once a person, where there is one, has agreed to
 * the plan. Goes on after a failure.
 */
export async function pruneMachines(
  ctx: Context,
  words: readonly string[],
  options: PruneOptions,
): Promise<void> {
  const rules = toPruneRequest(options);
  checkPruneRequest(rules);
  const selection = toSelection(words, options);
  const request = isAsked(ctx, false)
    ? { ...rules, agreed: await agreeToPrune(ctx, selection, rules) }
    : rules;
  const selected = await readSelection(ctx, selection);
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: options.jobs ?? 1, skips: () => false };
  const { freeMin } = request;
  if (freeMin !== null) {
    const looked = await overMachines(ctx, selected, run, async (ctx, reading) =>
      lookedAt(ctx, await assembleMachine(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS)),
    );
    const contenders = looked.map(({ value }) => value && { machine: value, fresh: null });
    const { results, space } = await pruneTogether(ctx, looked, contenders, { ...request, freeMin });
    noteNone(ctx, results, request);
    return report(ctx, results, selected.single, space);
  }
  const results = await overMachines(ctx, selected, run, (ctx, reading) =>
    pruneFound(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS, request),
  );
  noteNone(ctx, results, request);
  await report(ctx, results, selected.single, null);
}

/** A slip in a label prunes nothing, night after night. */
function noteNone(
  ctx: Context,
  results: readonly MachineResult<PruneResult>[],
  { scope: { label, matches } }: PruneRequest,
): void {
  if (!results.every(({ value }) => value?.rows.length === 0)) return;
  const ways = [...(label === null ? [] : [`carries the label '${label}'`]), ...(matches ? ['matches'] : [])];
  ctx.terminal.note(`note: nothing to prune: no snapshot of ${whose(results)} ${ways.join(' or ')}`);
}

const whose = ([first, ...others]: readonly MachineResult<unknown>[]): string =>
  first && others.length === 0 ? `'${first.machine.name}'` : 'these machines';

function lookedAt(ctx: Context, machine: Machine): Deed<Machine> {
  requireAllRead(ctx, machine, `prune '${machine.domain.name}'`);
  return { value: machine, failures: [], succeeded: 0 };
}

/**
 * Prunes for space over the machines that contend, and leaves the results of the others as they are. Of each, what is in
 * `before` has been done already.
 */
export async function pruneTogether(
  ctx: Context,
  before: readonly MachineResult<unknown>[],
  contenders: readonly (Contender | null)[],
  request: SpaceRequest,
): Promise<{ readonly results: MachineResult<PruneResult>[]; readonly space: SpaceRun }> {
  const { pruneForSpace } = await import('./free-space.ts');
  const space = await pruneForSpace(
    ctx,
    contenders.filter((contender) => contender !== null),
    request,
  );
  const pruned = [...space.machines];
  const results = before.map((result, i): MachineResult<PruneResult> => {
    const done = contenders[i] ? pruned.shift() : undefined;
    return done ? resultOf(ctx, result, deedOf(ctx, result.machine.name, done)) : { ...result, value: null };
  });
  return { results, space };
}

function deedOf(ctx: Context, machine: string, pruned: SpacePruned): Deed<PruneResult> {
  const { plan, done, failure, freed, alone, cutShort } = pruned;
  const outcome = (decision: Decision<PruneCandidate>) =>
    ctx.settings.dryRun ? plannedOutcome(decision, done) : outcomeOf(decision, done);
  return {
    value: {
      rows: plan.map((decision) => toRow(machine, decision, outcome(decision), { alone, freed })),
      freed,
      leftovers: done.flatMap(({ leftovers }) => leftovers),
    },
    failures: [...(failure ? [failure] : []), ...done.flatMap(pruneFailures)],
    succeeded: done.filter(({ failure }) => failure === null).length,
    cutShort,
  };
}

/**
 * Plans by what was read of all machines at once; what libvirt's word alone would delete is decided again by a look at the
 * disks and, unless it is a dry run, by a new one at the machine, whose turn may come late.
 */
async function pruneFound(
  ctx: Context,
  reading: MachineReading,
  found: SnapshotsRead,
  request: PruneRequest,
): Promise<Deed<PruneResult>> {
  const { domain } = reading;
  requireAllRead(ctx, { ...reading, ...found }, `prune '${domain.name}'`);
  const snapshots = reportOn(reading, found.snapshots, null);
  const atAGlance = await planWithExternal(ctx, { ...reading, snapshots, images: null }, request);
  if (atAGlance.every(({ keep }) => keep)) return planned(domain.name, atAGlance);
  const machine = ctx.settings.dryRun
    ? await assembleMachine(ctx, reading, found)
    : await readAgain(ctx, domain);
  return pruneMachine(ctx, machine, request);
}

/** Plans for one machine and, unless it is a dry run, carries out. `fresh`: what the same run took. */
export async function pruneMachine(
  ctx: Context,
  machine: Machine,
  request: PruneRequest,
  fresh: string | null = null,
): Promise<Deed<PruneResult>> {
  const { name } = machine.domain;
  requireAllRead(ctx, machine, `prune '${name}'`);
  const plan = await planWithExternal(ctx, machine, request, fresh);
  const going = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.name);
  if (ctx.settings.dryRun) return foreseen(ctx, machine, plan, request);
  const {
    done: { done, held },
    freed,
  } = await whatIsFreed(machine, () => prune(ctx, machine, plan, request));
  const settled = plan.map((decision) =>
    held.has(decision.snapshot.name) ? { ...decision, keep: true, reasons: ['held'] } : decision,
  );
  return {
    value: {
      rows: settled.map((decision) => toRow(name, decision, outcomeOf(decision, done))),
      freed,
      leftovers: done.flatMap(({ leftovers }) => leftovers),
    },
    failures: done.flatMap(pruneFailures),
    succeeded: done.filter(({ failure }) => failure === null).length,
    cutShort: ctx.interrupts.pending !== null && done.length + held.size < going.length,
  };
}

/** What the run would do: what a rule is against fails there too, and so it does here. */
async function foreseen(
  ctx: Context,
  machine: Machine,
  plan: readonly Decision<PruneCandidate>[],
  request: PruneRequest,
): Promise<Deed<PruneResult>> {
  const names = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.name);
  const { gone, refused } = await planDeletions(ctx, machine, names, deletionBy(request));
  const done = refused.map(({ name, failure }) => notPruned(name, failure));
  return planned(machine.domain.name, plan, done, await foreseeFreed(ctx, machine, [...gone]));
}

const planned = (
  machine: string,
  plan: readonly Decision<PruneCandidate>[],
  done: readonly Pruned[] = [],
  { alone, together: freed }: Foreseen = { alone: new Map(), together: NOTHING_FREED },
): Deed<PruneResult> => ({
  value: {
    rows: plan.map((decision) => toRow(machine, decision, plannedOutcome(decision, done), { alone, freed })),
    freed,
    leftovers: [],
  },
  failures: done.flatMap(pruneFailures),
  succeeded: plan.filter((decision) => plannedOutcome(decision, done) === 'to be deleted').length,
});

const plannedOutcome = (decision: Decision<PruneCandidate>, done: readonly Pruned[]): Outcome => {
  const outcome = outcomeOf(decision, done);
  return outcome === 'not reached' ? 'to be deleted' : outcome;
};

function toRow(
  machine: string,
  decision: Decision<PruneCandidate>,
  outcome: Outcome,
  foreseen?: { readonly alone: ReadonlyMap<string, number>; readonly freed: Freed },
): PruneRow {
  const freesBytes = decision.keep ? null : (foreseen?.alone.get(decision.snapshot.name) ?? null);
  return { machine, decision, outcome, freesBytes, approximate: foreseen?.freed.approximate ?? false };
}

function outcomeOf({ snapshot, keep }: Decision<PruneCandidate>, done: readonly Pruned[]): Outcome {
  if (keep) return 'kept';
  const result = done.find(({ name }) => name === snapshot.name);
  if (!result) return 'not reached';
  return result.failure ? 'failed' : 'deleted';
}

async function report(
  ctx: Context,
  results: readonly MachineResult<PruneResult>[],
  single: boolean,
  space: SpaceRun | null,
): Promise<void> {
  const { dryRun } = ctx.settings;
  requireDeed(ctx, single, results);
  const conclusion = concludeMachines(ctx, results, { strict: false, parts: 'deletions' });
  const rows = results.flatMap(({ value }) => value?.rows ?? []);
  const lines = [
    ...freedLines(
      dryRun,
      results.map(({ machine, value }) => freedOf(machine, value)),
    ),
    ...spaceLines(space),
  ];
  await show(ctx, {
    document: {
      dryRun,
      domains: results.map((result) => ({
        ...domainResult(result),
        snapshots: (result.value?.rows ?? []).map(pruneDocument),
        leftovers: result.value?.leftovers ?? [],
        ...freedDocument(dryRun, result.value?.freed ?? null),
      })),
      freeMin: spaceDocument(space),
    },
    sections: [section({ columns: pruneColumns(dryRun), rows })],
    names: results.flatMap(({ machine, value }) =>
      (value?.rows ?? [])
        .filter(({ outcome }) => outcome === 'deleted' || outcome === 'to be deleted')
        .map(({ decision: { snapshot } }) => (single ? snapshot.name : ownName(machine, snapshot.name))),
    ),
    ...(dryRun ? {} : { remarks: lines }),
  });
  if (dryRun) sayForeseen(ctx, lines);
  const end = await concludeSpace(ctx, conclusion, space);
  if (end) throw end;
}

/** What came back, where anything was to go. */
export const freedOf = (machine: ResultName, pruned: PruneResult | null): FreedOf => ({
  machine,
  freed: pruned?.rows.some(({ decision }) => !decision.keep) ? pruned.freed : null,
});

/** A snapshot of the plan, as a member of a document. */
export function pruneDocument({ decision, outcome, freesBytes }: PruneRow) {
  const { snapshot, keep, reasons } = decision;
  const createdAt = rfc3339(snapshot.createdAtSeconds);
  return { name: snapshot.name, createdAt, keep, reasons, outcome, freesBytes };
}
