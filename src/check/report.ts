import { KvmsnapError } from '../errors.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { NO_SNAPSHOTS } from '../libvirt/snapshots.ts';
import { kvmsnapLine } from '../model/quote.ts';
import type { Selection } from '../model/selection.ts';
import { inText } from '../model/text.ts';
import { counted } from '../output/format.ts';
import { planText } from '../output/question.ts';
import { type Section, section } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import {
  concludeDomains,
  type DomainOutcome,
  forEachDomain,
  throwIfNothingDone,
} from '../run/for-each-domain.ts';
import { adviceBeneath, domainResult } from '../run/results.ts';
import { toSelection } from '../run/select-options.ts';
import { show, showPlan } from '../run/show.ts';
import { noteUnseen } from '../vm/disks.ts';
import { assembleVm, isDrifting, readAgain } from '../vm/load.ts';
import { readAllSnapshots, readSelection } from '../vm/select.ts';
import { type CheckRequest, checkVm } from './check.ts';
import type { CheckOptions } from './command.ts';
import { createUnusedFileFinder } from './find-unused-files.ts';
import {
  countsOf,
  findingDocument,
  findingRow,
  findingsCsv,
  findingsSection,
  isBad,
  type Row,
  rowsOf,
} from './findings.ts';
import { unanswered } from './fix-plan.ts';
import {
  FIX_COLUMNS,
  type FixRow,
  fixDocument,
  fixVms,
  type Judged,
  type LookedAt,
  stepsOf,
} from './fix-report.ts';
import { prepareFixes } from './prepare-fixes.ts';

/**
 * `check`: can these VMs be snapshotted, reverted, trusted. Changes nothing but what `--fix` is allowed to. Throws
 * `check` when one cannot.
 */
export async function check(ctx: Context, words: readonly string[], options: CheckOptions): Promise<void> {
  const maxAge = toMaxAge(options);
  const all = words.length === 0 ? { ...options, all: true } : options;
  const selection = toSelection(words, all);
  const look = (ctx: Context) => lookAll(ctx, selection, maxAge, options.fix ?? false);
  const first = await look(ctx);
  throwIfNothingDone(ctx, first.selected.single, first.looked);
  if (options.fix && ctx.settings.dryRun) return showFixes(ctx, first.looked);
  const results = options.fix ? await fixVms(ctx, first, look) : first.looked;
  await report(ctx, results, options.fix ?? false);
}

/** Judges all VMs of the selection as they are now; with `fix` the steps to fix them are prepared. */
async function lookAll(
  ctx: Context,
  selection: Selection,
  maxAge: CheckRequest['maxAge'],
  fix: boolean,
): Promise<LookedAt> {
  const selected = await readSelection(ctx, selection);
  const request: CheckRequest = {
    maxAge,
    daemonVersion: await readDaemonVersion(ctx.virsh),
    findUnusedFiles: createUnusedFileFinder(ctx),
  };
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: 1, skips: () => false };
  const looked = await forEachDomain<Judged>(ctx, selected, run, async (ctx, reading) => {
    const seen = await assembleVm(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS);
    const vm = isDrifting(seen) ? await readAgain(ctx, seen.domain) : seen;
    noteUnseen(ctx, vm.domain, vm.images);
    const checked = await checkVm(ctx, vm, request);
    const prepared = fix ? await prepareFixes(ctx, vm, checked.fixes) : [];
    return { value: { checked, prepared, fixed: null }, failures: [], succeeded: 1 };
  });
  return { selected, looked, request };
}

/** The plan, and the findings that no step of it answers. Throws `check` when there are any. */
async function showFixes(ctx: Context, looked: readonly DomainOutcome<Judged>[]): Promise<void> {
  const conclusion = concludeDomains(ctx, looked, { strict: false, parts: 'checks' });
  const steps = stepsOf(ctx, looked);
  if (steps.length > 0 && ctx.settings.output === 'table') ctx.terminal.note(planText(steps));
  const leftOf = ({ value }: DomainOutcome<Judged>) =>
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

/** `what` completes `1 error, 2 warnings`; `of` is how many VMs were checked. */
function badFindings(
  bad: readonly Row[],
  of: number,
  what: string,
  fix: { readonly hint?: string; readonly command?: string } = {},
): KvmsnapError {
  const vms = [...new Set(bad.map(({ vm }) => vm))];
  const many = vms.length === of ? `all ${of} VMs` : `${vms.length} of ${of} VMs`;
  const where = of === 1 ? inText(vms[0] ?? '') : many;
  return new KvmsnapError('check', `${countsOf(bad, ['error', 'warning'])}${what} on ${where}`, fix);
}

/** The last line on a terminal if there are no problems. */
const goodLine = (rows: readonly Row[], of: number): string =>
  [`${counted(of, 'VM')} checked: no errors, no warnings`, countsOf(rows, ['information'])]
    .filter((text) => text !== '')
    .join(', ');

function toMaxAge({ maxAge, label }: CheckOptions): CheckRequest['maxAge'] {
  if (maxAge === undefined) {
    if (label !== undefined) throw new KvmsnapError('usage', '--label needs --max-age');
    return null;
  }
  return { ...maxAge, label: label ?? null };
}

async function report(
  ctx: Context,
  results: readonly DomainOutcome<Judged>[],
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
const toldFailures = ({ fixed }: Judged): KvmsnapError[] =>
  (fixed ?? []).flatMap(({ failure }) => failure ?? []);

function fixAdvice(ctx: Context, results: readonly DomainOutcome<Judged>[]) {
  const fixable = results.filter(({ value }) => value && value.checked.fixes.length > 0);
  if (fixable.length === 0) return {};
  const names = fixable.map(({ vm }) => vm.name);
  const { command } = withConnection(ctx, { what: '', command: kvmsnapLine('check', names, '--fix') });
  return { hint: 'this fixes what can be fixed safely', command };
}

function fixesSection(ctx: Context, results: readonly DomainOutcome<Judged>[]): Section<never> {
  const rows = results.flatMap(({ vm, value }) =>
    (value?.fixed ?? []).map((result) => ({ vm: vm.name, result })),
  );
  const advice = adviceBeneath<FixRow>(ctx, ({ result: { failure } }) => (failure ? [failure] : []));
  return section({ title: 'STEPS', columns: FIX_COLUMNS, rows, ...advice });
}

const document = (ctx: Context, result: DomainOutcome<Judged>) => ({
  ...domainResult(result),
  snapshots: {
    running: result.value?.checked.running ?? null,
    off: result.value?.checked.off ?? null,
    external: result.value?.checked.external ?? null,
  },
  findings: (result.value?.checked.findings ?? []).map(findingDocument),
  fixes: fixDocument(ctx, result),
});
