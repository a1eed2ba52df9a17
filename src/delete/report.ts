import type { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { inText } from '../model/text.ts';
import { errorDocument } from '../output/documents.ts';
import { humanBytes } from '../output/format.ts';
import { type Column, section, VM_COLUMN } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { concludeDomains, type DomainOutcome, throwIfNothingDone } from '../run/for-each-domain.ts';
import { adviceBeneath, domainResult, ownName, shownName } from '../run/results.ts';
import { show, showPlan } from '../run/show.ts';
import type { Freed } from '../space/reclaimed.ts';
import { freedDocument, freedLines, noteForeseen } from '../space/reclaimed-report.ts';
import { sumLines } from './delete-in-turn.ts';
import type { UnusedFile } from './remove-unused-files.ts';

/** What a delete did to each VM, as a table and as a document. */

interface Failed {
  readonly name: string;
  readonly failure: KvmsnapError;
}

/** What was deleted of one VM, or would be. */
export interface Deleted {
  readonly deleted: readonly string[];
  readonly failed: readonly Failed[];
  /** Names that only other VMs have. */
  readonly skipped: readonly string[];
  readonly planned: readonly VirshCommand[];
  /** In a dry run, what would be freed. */
  readonly freed: Freed;
  /** In a dry run, the bytes that each deletion alone would free; null if unknown. */
  readonly alone: readonly { readonly name: string; readonly freesBytes: number | null }[];
  readonly unusedFiles: readonly UnusedFile[];
}

type Result = DomainOutcome<Deleted>;

interface Row {
  readonly vm: string;
  readonly name: string | null;
  readonly outcome: string;
  readonly failure?: KvmsnapError | undefined;
}

/** Only in CSV, behind the others. */
const ERROR: Column<Row> = {
  key: 'error',
  title: '',
  kind: 'text',
  value: ({ failure }) => failure?.message ?? null,
};

const COLUMNS: readonly Column<Row>[] = [
  VM_COLUMN,
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    wraps: true,
    value: ({ outcome, failure }) => (failure ? `${outcome}: ${failure.why}` : outcome),
    data: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'deleted' ? 'plain' : 'bad'),
  },
];

/** Shows what was deleted, or in a dry run would be. Throws what the run ends with if something failed. */
export async function showDeleted(
  ctx: Context,
  results: readonly Result[],
  { single, strict }: { readonly single: boolean; readonly strict: boolean },
): Promise<void> {
  const [first] = results;
  throwIfNothingDone(ctx, single, results);
  if (single && first?.failures.length === 1 && first.succeeded === 0) throw first.failures[0];
  const { dryRun, output } = ctx.settings;
  const rows = results.flatMap(rowsOf);
  const inTable = (each: KvmsnapError) => !dryRun && rows.some(({ failure }) => failure === each);
  const conclusion = concludeDomains(ctx, results, { strict, parts: 'deletions', inTable });
  if (output !== 'json') noteSkipped(ctx, results);
  const freed = results.map(({ vm, value }) => ({
    vm,
    freed: value && (dryRun || value.deleted.length > 0) ? value.freed : null,
  }));
  const lines = freedLines(dryRun, freed);
  if (dryRun) {
    await showPlan(
      ctx,
      results.flatMap(({ value }) => value?.planned ?? []),
      {
        vms: results.map(({ vm }) => vm),
        document: { domains: results.map(plannedDocument) },
        names: results.flatMap(({ vm, value }) =>
          (value?.alone ?? []).map(({ name }) => (single ? shownName(ctx, vm, name) : ownName(vm, name))),
        ),
      },
    );
    noteForeseen(ctx, [...results.flatMap(aloneLines), ...lines]);
  } else {
    await show(ctx, {
      kind: 'delete',
      document: { domains: results.map(document) },
      sections: [
        section({
          columns: COLUMNS,
          rows,
          ...adviceBeneath<Row>(ctx, ({ outcome, failure }) =>
            failure && outcome !== 'skipped' ? [failure] : [],
          ),
        }),
      ],
      csv: section({ columns: [...COLUMNS, ERROR], rows }),
      names: results.flatMap(({ vm, value }) =>
        (value?.deleted ?? []).map((name) => (single ? shownName(ctx, vm, name) : ownName(vm, name))),
      ),
      ...(rows.length === 0 ? { empty: 'there is no snapshot to delete' } : {}),
      remarks: [...sumOf(results), ...lines],
    });
  }
  if (conclusion) throw conclusion;
}

function noteSkipped(ctx: Pick<Context, 'terminal'>, results: readonly Result[]): void {
  for (const { vm, value } of results)
    for (const name of value?.skipped ?? [])
      ctx.terminal.note(`skipped ${inText(name)}: VM ${inText(vm.name)} has no such snapshot`);
}

const sumOf = (results: readonly Result[]): string[] => {
  const values = results.flatMap(({ value }) => value ?? []);
  const count = (of: (value: Deleted) => number) => values.reduce((sum, value) => sum + of(value), 0);
  const deleted = count((value) => value.deleted.length);
  return sumLines(deleted, deleted + count((value) => value.failed.length));
};

/** What each of several deletions alone would free; the sum differs from what they free together. */
const aloneLines = ({ vm, value }: Result): string[] =>
  value && value.alone.length > 1
    ? value.alone.map(({ name, freesBytes }) => {
        const mark = value.freed.approximate ? '~' : '';
        const bytes = freesBytes === null ? 'an unknown amount' : `${mark}${humanBytes(freesBytes)}`;
        return `${inText(name)} of ${inText(vm.name)} alone would free ${bytes}`;
      })
    : [];

function rowsOf({ vm: { name: vm }, outcome, value, failures }: Result): Row[] {
  if (!value) return [{ vm, name: null, outcome, failure: failures[0] }];
  return [
    ...value.deleted.map((name) => ({ vm, name, outcome: 'deleted' })),
    ...value.failed.map(({ name, failure }) => ({ vm, name, outcome: 'failed', failure })),
  ];
}

const plannedDocument = (result: Result) => ({
  ...domainResult(result),
  snapshots: result.value?.alone ?? [],
  ...freedDocument(true, result.value?.freed ?? null),
});

const document = (result: Result) => ({
  ...domainResult(result),
  deleted: result.value?.deleted ?? [],
  leftovers: result.value?.unusedFiles ?? [],
  failed: (result.value?.failed ?? []).map(({ name, failure }) => ({ name, ...errorDocument(failure) })),
  skipped: result.value?.skipped ?? [],
  ...freedDocument(false, result.value?.freed ?? null),
});
