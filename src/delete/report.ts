import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { allInText, inText } from '../model/text.ts';
import { errorDocument } from '../output/documents.ts';
import { humanBytes } from '../output/format.ts';
import { type Column, section, VM_COLUMN } from '../output/view.ts';
import { chooseSnapshots } from '../run/choose.ts';
import type { Context } from '../run/context.ts';
import {
  type ActionResult,
  concludeDomains,
  type DomainOutcome,
  forEachDomain,
  throwIfNothingDone,
} from '../run/for-each-domain.ts';
import { adviceBeneath, domainResult, ownName } from '../run/results.ts';
import { toSelection } from '../run/select-options.ts';
import { show, showPlan } from '../run/show.ts';
import { type Freed, foreseeFreed, whatIsFreed } from '../space/reclaimed.ts';
import { freedDocument, freedLines, noteForeseen } from '../space/reclaimed-report.ts';
import { noteUnseen } from '../vm/disks.ts';
import { completeVm, findSnapshot, noSuchSnapshot, readAgain, type Vm } from '../vm/load.ts';
import type { NamedSnapshots } from '../vm/named.ts';
import type { Targets } from '../vm/select.ts';
import type { DeleteOptions } from './command.ts';
import { agreeAgain, consentToDeletion } from './confirm.ts';
import { deleteInTurn, sumLines } from './delete-in-turn.ts';
import type { DeleteScope } from './deletion-set.ts';
import { planDeletions, type RefusedDeletion } from './dry-run.ts';
import { tellLoss } from './question.ts';
import type { UnusedFile } from './remove-unused-files.ts';
import { holds, namesOf, type Wanted } from './request.ts';

interface Failed {
  readonly name: string;
  readonly failure: KvmsnapError;
}

interface Deleted {
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
    value: ({ outcome, failure }) => (failure ? `${outcome}: ${failure.message}` : outcome),
    data: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'deleted' ? 'plain' : 'bad'),
  },
];

const CHOICE = { asks: 'Delete which snapshots of', several: true };

/**
 * `delete`. Continues after a failure; throws at the end if there was one. On a terminal, a user who names no snapshot is asked
 * which.
 */
export async function deleteSnapshots(
  ctx: Context,
  { named: byVm, paired }: NamedSnapshots,
  options: DeleteOptions,
): Promise<void> {
  const [{ vm } = { vm: '' }] = byVm;
  const typed = byVm.flatMap((each) => each.names);
  const mayChoose = typed.length === 0 && !options.current && !options.vm && ctx.terminal.hasPerson;
  const names = mayChoose ? await chooseSnapshots(ctx, vm, CHOICE) : typed;
  if ((names.length === 0) === !options.current) {
    throw new KvmsnapError('usage', 'name the snapshots, or use --current (not both)');
  }
  const wanted: Wanted = {
    names: options.current ? null : names,
    own: paired ? new Map(byVm.map((each) => [each.vm, each.names])) : undefined,
    scope: scopeOf(options),
    metadataOnly: options.metadata ?? false,
    strict: options.strict ?? false,
    removeUnused: options.leftovers ?? false,
  };
  const { selected, shares } = await consentToDeletion(
    ctx,
    {
      ...toSelection(
        byVm.map(({ vm }) => vm),
        options,
      ),
      exacting: true,
    },
    wanted,
  );
  // of many VMs, one that has none of these snapshots needs nothing
  const run = { jobs: options.jobs ?? 1, skips: ({ code }: KvmsnapError) => code === 'not-found' };
  const named = new Set(selected.targets.flatMap(({ named, vm }) => (named ? [vm.uuid] : [])));
  const results = await forEachDomain(ctx, selected, run, async (ctx, reading) => {
    // asked for was what was there then, and not a snapshot that came or became current since
    const names = namesOf(reading, wanted);
    const share = shares?.get(reading.domain.uuid) ?? null;
    const read = (ctx: Context) => preview(ctx, reading, names, selected);
    const vm = !share
      ? await read(ctx)
      : selected.single
        ? share.vm
        : await agreeAgain(ctx, share, wanted, read);
    const mayLack = !wanted.strict && !named.has(reading.domain.uuid);
    const skipped = mayLack ? names.filter((name) => !holds(reading, [name])) : [];
    const theirs = names.filter((name) => !skipped.includes(name));
    const isTold = share !== null; // by the question
    return deleteOf(ctx, vm, { names: theirs, skipped, refused: share?.refused ?? [], isTold }, wanted);
  });
  await report(ctx, results, { single: selected.single, strict: wanted.strict });
}

function scopeOf({ children, childrenOnly }: DeleteOptions): DeleteScope {
  if (children && childrenOnly)
    throw new KvmsnapError('usage', '--children cannot be combined with --children-only');
  return children ? 'children' : childrenOnly ? 'children-only' : 'only';
}

/** Reads one of the VMs when its turn comes. Throws `not-found` if it has none of the snapshots. */
async function preview(
  ctx: Context,
  reading: DomainReading,
  names: readonly string[],
  { single }: Targets,
): Promise<Vm> {
  if (!single && !holds(reading, names)) throw noSuchSnapshot(reading, names[0] ?? '');
  const vm = single ? await completeVm(ctx, reading) : await readAgain(ctx, reading.domain);
  noteUnseen(ctx, vm.domain, vm.images);
  const isThere = vm.snapshots.some(({ name }) => names.includes(name));
  if (!isThere && (!single || names.length === 1)) findSnapshot(vm, names[0] ?? '');
  return vm;
}

/** The names as they apply to one VM. */
interface NamesOf {
  readonly names: readonly string[];
  readonly skipped: readonly string[];
  /** Deletions that were refused before the question. */
  readonly refused: readonly RefusedDeletion[];
  /** Whether the user has seen what is deleted. */
  readonly isTold: boolean;
}

async function deleteOf(
  ctx: Context,
  vm: Vm,
  { names, skipped, refused, isTold }: NamesOf,
  wanted: Wanted,
): Promise<ActionResult<Deleted>> {
  if (ctx.settings.dryRun) return plan(ctx, vm, { names, skipped }, wanted);
  const { done, freed } = await whatIsFreed(ctx, vm, () =>
    deleteAll(ctx, vm, { names, refused, isTold }, wanted),
  );
  const { deleted, failed, unusedFiles, unremoved, succeeded, left } = done;
  if (left.length > 0) ctx.terminal.note(`note: not deleted: ${allInText(left)}`);
  return {
    value: { deleted, failed, unusedFiles, skipped, planned: [], freed, alone: [] },
    failures: [...failed.map(({ failure }) => failure), ...unremoved],
    succeeded,
    cutShort: left.length > 0 && ctx.interrupts.pending !== null,
  };
}

/** Deletes snapshots of one VM. `left` was not tried. */
async function deleteAll(
  ctx: Context,
  vm: Vm,
  { names, refused, isTold }: Omit<NamesOf, 'skipped'>,
  wanted: Wanted,
) {
  const possible = names.filter((name) => refused.every((each) => each.name !== name));
  const { tried, left } = await deleteInTurn(
    ctx,
    vm,
    possible,
    wanted,
    isTold ? undefined : tellLoss(wanted),
  );
  return {
    deleted: tried.flatMap(({ gone }) => gone),
    failed: [...refused, ...tried.flatMap(({ name, failure }) => (failure ? [{ name, failure }] : []))],
    unusedFiles: tried.flatMap(({ unusedFiles }) => unusedFiles),
    unremoved: tried.flatMap(({ unremoved }) => unremoved),
    succeeded: tried.filter(({ failure }) => failure === null).length,
    left,
  };
}

async function plan(
  ctx: Context,
  vm: Vm,
  { names, skipped }: Pick<NamesOf, 'names' | 'skipped'>,
  wanted: Wanted,
): Promise<ActionResult<Deleted>> {
  const { commands, gone, refused, unchecked, unmeasured } = await planDeletions(ctx, vm, names, wanted);
  if (refused[0]) throw refused[0].failure;
  noteUnforeseen(
    ctx,
    vm,
    unchecked,
    'can be deleted depends on how the earlier deletions leave the backing chain',
  );
  noteUnforeseen(ctx, vm, unmeasured, 'can be merged depends on the space that the earlier deletions leave');
  const { alone, together } = await foreseeFreed(ctx, vm, wanted.metadataOnly ? [] : [...gone]);
  return {
    value: {
      deleted: [],
      failed: [],
      unusedFiles: [],
      skipped,
      planned: commands,
      freed: together,
      alone: [...gone].map((name) => ({
        name,
        freesBytes: wanted.metadataOnly ? 0 : (alone.get(name) ?? null),
      })),
    },
    failures: [],
    succeeded: commands.length,
  };
}

function noteUnforeseen(ctx: Context, { domain }: Vm, names: readonly string[], what: string): void {
  if (names.length === 0) return;
  const those = allInText(names);
  ctx.terminal.note(`note: whether ${those} of ${inText(domain.name)} ${what}`);
}

async function report(
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
          (value?.alone ?? []).map(({ name }) => (single ? name : ownName(vm, name))),
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
        (value?.deleted ?? []).map((name) => (single ? name : ownName(vm, name))),
      ),
      remarks: [...sumOf(results), ...lines],
    });
  }
  if (conclusion) throw conclusion;
}

function noteSkipped(ctx: Context, results: readonly Result[]): void {
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
