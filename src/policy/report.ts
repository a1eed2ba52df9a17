import { policyInText } from '../model/policy.ts';
import { type Column, section, vmColumn } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { concludeDomains, type DomainOutcome, throwIfNothingDone } from '../run/for-each-domain.ts';
import { domainResult } from '../run/results.ts';
import { show, showPlan } from '../run/show.ts';
import type { PolicyOfVm } from './policy.ts';

/** The policies of VMs, as a table and as a document. */

type Result = DomainOutcome<PolicyOfVm>;

const COLUMNS: readonly Column<Result>[] = [
  vmColumn(({ vm }) => vm.name),
  {
    key: 'policy',
    title: 'POLICY',
    kind: 'text',
    value: ({ value }) => (value?.policy ? policyInText(value.policy) : null),
    data: ({ value }) => value?.policy ?? null,
  },
];

/** Throws what the run ends with if something failed. */
export async function report(
  ctx: Context,
  results: readonly Result[],
  { single, isSet }: { readonly single: boolean; readonly isSet: boolean },
): Promise<void> {
  throwIfNothingDone(ctx, single, results);
  const conclusion = concludeDomains(ctx, results, { strict: false, parts: 'policies' });
  if (isSet && ctx.settings.dryRun) {
    await showPlan(
      ctx,
      results.flatMap(({ value }) => (value?.planned ? [value.planned] : [])),
      { vms: results.map(({ vm }) => vm) },
    );
  } else {
    await show(ctx, {
      kind: 'policy',
      document: {
        domains: results.map((result) => ({ ...domainResult(result), policy: result.value?.policy ?? null })),
      },
      sections: [section({ columns: COLUMNS, rows: results.filter(({ value }) => value !== null) })],
      names: results.flatMap(({ vm, value }) => (value ? [vm.name] : [])),
    });
  }
  if (conclusion) throw conclusion;
}
