import type { Context } from '../run/context.ts';
import {
  concludeDomains,
  type DomainOutcome,
  type ResultName,
  throwIfNothingDone,
} from '../run/for-each-domain.ts';
import { domainResult, ownName, shownName } from '../run/results.ts';
import { show } from '../run/show.ts';
import { type FreedOf, freedDocument, freedLines, noteForeseen } from '../space/reclaimed-report.ts';
import { type FailedVmRow, pruneCsv, pruneDocument, prunedLines, pruneSection } from './columns.ts';
import { concludeSpace, spaceDocument, spaceLines } from './free-space-report.ts';
import type { SpaceRun } from './free-space-run.ts';
import type { PruneResult } from './outcomes.ts';

/** The results of a prune, as a table and as a document. */

/** Shows the results of all VMs. Throws what the run ends with if something failed. */
export async function report(
  ctx: Context,
  results: readonly DomainOutcome<PruneResult>[],
  single: boolean,
  space: SpaceRun | null,
): Promise<void> {
  const { dryRun } = ctx.settings;
  throwIfNothingDone(ctx, single, results);
  const rows = results.flatMap(({ value }) => value?.rows ?? []);
  const table = [...rows, ...results.flatMap(failedVmRow)];
  const conclusion = concludeDomains(ctx, results, {
    strict: false,
    parts: 'deletions',
    inTable: (failure) => table.some((row) => row.failure === failure),
  });
  const lines = [
    ...freedLines(
      dryRun,
      results.map(({ vm, value }) => freedOf(vm, value)),
    ),
    ...spaceLines(space),
  ];
  await show(ctx, {
    kind: 'prune',
    document: {
      dryRun,
      domains: results.map((result) => ({
        ...domainResult(result),
        snapshots: (result.value?.rows ?? []).map(pruneDocument),
        leftovers: result.value?.unusedFiles ?? [],
        ...freedDocument(dryRun, result.value?.freed ?? null),
      })),
      freeMin: spaceDocument(space),
    },
    sections: [pruneSection(ctx, table)],
    csv: pruneCsv(ctx, table),
    names: results.flatMap(({ vm, value }) =>
      (value?.rows ?? [])
        .filter(({ outcome }) => outcome === 'deleted' || outcome === 'to be deleted')
        .map(({ decision: { snapshot } }) =>
          single ? shownName(ctx, vm, snapshot.name) : ownName(vm, snapshot.name),
        ),
    ),
    ...(dryRun ? {} : { remarks: [...prunedLines(ctx, rows), ...lines] }),
  });
  if (dryRun) noteForeseen(ctx, [...prunedLines(ctx, rows), ...lines]);
  const end = await concludeSpace(ctx, conclusion, space);
  if (end) throw end;
}

function failedVmRow({ vm, value, failures }: DomainOutcome<PruneResult>): FailedVmRow[] {
  const [failure] = failures;
  if (!failure || value?.rows.some((row) => row.failure)) return [];
  return [{ vm: vm.name, decision: null, outcome: 'failed', freesBytes: null, approximate: false, failure }];
}

/** The freed bytes of one VM; null if nothing was to be deleted. */
export const freedOf = (vm: ResultName, pruned: PruneResult | null): FreedOf => ({
  vm,
  freed: pruned?.rows.some(({ decision }) => !decision.keep) ? pruned.freed : null,
});
