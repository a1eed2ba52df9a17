import type { UnusedFile } from '../delete/remove-unused-files.ts';
import type { Context } from '../run/context.ts';
import type { ActionResult } from '../run/for-each-domain.ts';
import { type Foreseen, type Freed, NOTHING_FREED } from '../space/reclaimed.ts';
import type { PruneOutcome, PruneRow } from './columns.ts';
import type { SpacePruned } from './free-space-run.ts';
import { type PruneCandidate, type Pruned, pruneFailures } from './prune-vm.ts';
import type { Decision } from './retention.ts';

/** What became of each snapshot in a plan, or would become of it in a dry run. */

/** What a prune did to one VM, or would do in a dry run. */
export interface PruneResult {
  readonly rows: readonly PruneRow[];
  /** In a dry run, what would be freed. */
  readonly freed: Freed;
  readonly unusedFiles: readonly UnusedFile[];
}

/** The result of a VM as `forEachDomain` counts it. */
export function actionResultOf(
  ctx: Pick<Context, 'settings'>,
  vm: string,
  pruned: SpacePruned,
): ActionResult<PruneResult> {
  const { plan, done, failure, freed, alone, cutShort } = pruned;
  const outcome = (decision: Decision<PruneCandidate>) =>
    ctx.settings.dryRun ? plannedOutcome(decision, done) : outcomeOf(decision, done);
  const rows = plan.map((decision) => toRow(vm, decision, done, outcome(decision), { alone, freed }));
  return {
    value: { rows, freed, unusedFiles: done.flatMap(({ unusedFiles }) => unusedFiles) },
    failures: [...(failure ? [failure] : []), ...done.flatMap(pruneFailures)],
    succeeded: rows.filter((row) => row.outcome === 'deleted' || row.outcome === 'to be deleted').length,
    cutShort,
  };
}

/** The result of a dry run. */
export const planned = (
  vm: string,
  plan: readonly Decision<PruneCandidate>[],
  done: readonly Pruned[] = [],
  { alone, together: freed }: Foreseen = { alone: new Map(), together: NOTHING_FREED },
): ActionResult<PruneResult> => ({
  value: {
    rows: plan.map((decision) => toRow(vm, decision, done, plannedOutcome(decision, done), { alone, freed })),
    freed,
    unusedFiles: [],
  },
  failures: done.flatMap(pruneFailures),
  succeeded: plan.filter((decision) => plannedOutcome(decision, done) === 'to be deleted').length,
});

const plannedOutcome = (decision: Decision<PruneCandidate>, done: readonly Pruned[]): PruneOutcome => {
  const outcome = outcomeOf(decision, done);
  return outcome === 'not reached' ? 'to be deleted' : outcome;
};

/** A row of the table: what becomes of a snapshot, and why. */
export function toRow(
  vm: string,
  decision: Decision<PruneCandidate>,
  done: readonly Pruned[],
  outcome: PruneOutcome,
  foreseen?: { readonly alone: ReadonlyMap<string, number>; readonly freed: Freed },
): PruneRow {
  const { name } = decision.snapshot;
  return {
    vm,
    decision,
    outcome,
    freesBytes: decision.keep ? null : (foreseen?.alone.get(name) ?? null),
    approximate: foreseen?.freed.approximate ?? false,
    failure: resultFor(decision, done)?.failure ?? null,
  };
}

const resultFor = ({ snapshot }: Decision<PruneCandidate>, done: readonly Pruned[]): Pruned | undefined =>
  done.find(({ name }) => name === snapshot.name);

/** What has become of a snapshot. */
export function outcomeOf(decision: Decision<PruneCandidate>, done: readonly Pruned[]): PruneOutcome {
  if (decision.keep) return 'kept';
  const result = resultFor(decision, done);
  if (!result) return 'not reached';
  return result.failure ? 'failed' : 'deleted';
}
