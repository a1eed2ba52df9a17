import { KvmsnapError } from '../errors.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { counted } from '../output/format.ts';
import { planText } from '../output/question.ts';
import { type Section, section } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { concludeDomains, type DomainOutcome } from '../run/for-each-domain.ts';
import { adviceBeneath, domainResult } from '../run/results.ts';
import { show, showPlan } from '../run/show.ts';
import {
  countsOf,
  findingDocument,
  findingRow,
  findingsCsv,
  findingsSection,
  isBad,
  type Row,
  rowsOf,
  summaryOf,
} from './findings.ts';
import { unanswered } from './fix-plan.ts';
import { FIX_COLUMNS, type FixRow, fixDocument } from './fix-report.ts';
import { stepsOf, type VmCheck } from './fix-vms.ts';

/** The plan, and the findings that no step of it answers. Throws `check` when there are any. */
export async function showFixes(ctx: Context, looked: readonly DomainOutcome<VmCheck>[]): Promise<void> {
  const conclusion = concludeDomains(ctx, looked, { strict: false, parts: 'checks' });
  const steps = stepsOf(ctx, looked);
  if (steps.length > 0 && ctx.settings.output === 'table') ctx.terminal.note(planText(steps));
  const leftOf = ({ value }: DomainOutcome<VmCheck>) =>
    value ? unanswered(value.checked.findings, value.prepared) : [];
  const left = looked
    .flatMap((result) =>
      result.value ? leftOf(result).map((each) => findingRow(result.vm.name, each)) : rowsOf(result),
    )
    .filter(isBad);
  const commands = steps.flatMap((step) => step.commands);
  await showPlan(ctx, commands, {
    vms: looked.map(({ vm }) => vm),
    document: {
      domains: looked.map((result) => ({
        ...domainResult(result),
        fixes: fixDocument(ctx, result),
        findings: leftOf(result).map(findingDocument),
      })),
    },
    sections: left.length === 0 ? [] : [findingsSection(left)],
  });
  // in these there is room for the lines only
  if (['csv', 'name'].includes(ctx.settings.output))
    for (const { vm, says } of left) ctx.terminal.note(`note: ${vm}: ${says}`);
  if (conclusion) throw conclusion;
  if (left.length > 0) throw badFindings(left, looked.length, ' that --fix cannot fix');
}

/** `of` and `what` as in `summaryOf`. */
function badFindings(
  bad: readonly Row[],
  of: number,
  what: string,
  fix: { readonly hint?: string; readonly command?: string } = {},
): KvmsnapError {
  return new KvmsnapError('check', summaryOf(bad, of, what), fix);
}

/** The last line on a terminal if there are no problems. */
const goodLine = (rows: readonly Row[], of: number): string =>
  [`${counted(of, 'VM')} checked: no errors, no warnings`, countsOf(rows, ['information'])]
    .filter((text) => text !== '')
    .join(', ');

/** Shows what was found, and what was fixed. Throws `check` when something bad is left. */
export async function report(
  ctx: Context,
  results: readonly DomainOutcome<VmCheck>[],
  fixing: boolean,
): Promise<void> {
  const rows = results.flatMap(rowsOf);
  const told = new Set(results.flatMap(({ value, failures }) => (value ? toldFailures(value) : failures)));
  const conclusion = concludeDomains(ctx, results, {
    strict: false,
    parts: fixing ? 'steps' : 'checks',
    inTable: (failure) => told.has(failure),
  });
  const bad = rows.filter(isBad);
  await show(ctx, {
    kind: 'check',
    document: { domains: results.map((result) => document(ctx, result)) },
    sections: [fixesSection(ctx, results), findingsSection(rows)],
    csv: findingsCsv(rows),
    names: [...new Set(bad.map(({ vm }) => vm))],
    remarks: conclusion || bad.length > 0 ? [] : [goodLine(rows, results.length)],
  });
  if (conclusion) throw conclusion;
  if (bad.length === 0) return;
  throw badFindings(bad, results.length, fixing ? ' left' : '', fixing ? {} : fixAdvice(ctx, results));
}

/** Those of the steps, which stand in the table of the steps. */
const toldFailures = ({ fixed }: VmCheck): KvmsnapError[] =>
  (fixed ?? []).flatMap(({ failure }) => failure ?? []);

function fixAdvice(ctx: Context, results: readonly DomainOutcome<VmCheck>[]) {
  const fixable = results.filter(({ value }) => value && value.checked.fixes.length > 0);
  if (fixable.length === 0) return {};
  const names = fixable.map(({ vm }) => vm.name);
  const { command } = withConnection(ctx, { what: '', command: kvmsnapLine('check', names, '--fix') });
  return { hint: 'this fixes what can be fixed safely', command };
}

function fixesSection(ctx: Context, results: readonly DomainOutcome<VmCheck>[]): Section<never> {
  const rows = results.flatMap(({ vm, value }) =>
    (value?.fixed ?? []).map((result) => ({ vm: vm.name, result })),
  );
  const advice = adviceBeneath<FixRow>(ctx, ({ result: { failure } }) => (failure ? [failure] : []));
  return section({ title: 'STEPS', columns: FIX_COLUMNS, rows, ...advice });
}

const document = (ctx: Context, result: DomainOutcome<VmCheck>) => ({
  ...domainResult(result),
  snapshots: {
    running: result.value?.checked.running ?? null,
    off: result.value?.checked.off ?? null,
    external: result.value?.checked.external ?? null,
  },
  findings: (result.value?.checked.findings ?? []).map(findingDocument),
  fixes: fixDocument(ctx, result),
});
