import { KvmsnapError } from '../errors.ts';
import type { RunRecord } from '../host/run-files.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { type DomainSummary, readSummaries } from '../libvirt/overview.ts';
import { isSaving } from '../model/domain.ts';
import type { Selection } from '../model/input/selection.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { reportSnapshots, type SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { domainDocument, errorDocument, snapshotDocument } from '../output/documents.ts';
import { counted, stateWord } from '../output/format.ts';
import {
  type Listed,
  legend,
  listedColumns,
  SNAPSHOT_COLUMNS,
  SNAPSHOT_CSV,
  TREE_COLUMNS,
  withoutImages,
} from '../output/snapshot-columns.ts';
import type { TreeRow } from '../output/table/tree.ts';
import { type Column, LEAVES, section, VM_COLUMN, vmColumn } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { concludeDomains, type DomainOutcome, type ResultName } from '../run/for-each-domain.ts';
import { adviceBeneath, ownName } from '../run/results.ts';
import { toSelection } from '../run/select-options.ts';
import { show } from '../run/show.ts';
import { readingsAmong } from '../vm/load.ts';
import { chooseDomains, type Missing, nothingLeft, noVmsText } from '../vm/select.ts';
import type { ListOptions } from './command.ts';
import { listOne } from './list-one.ts';
import { chosenOf, listedRows, reportsOf, sumLine, unreadDocument } from './listed.ts';

/** `list` of several VMs, from libvirt's information only: their images are not read. */

interface Overview {
  readonly vm: ResultName;
  /** null if the VM could not be read or does not exist; `failure` says why. */
  readonly summary: DomainSummary | null;
  readonly failure: KvmsnapError | null;
  /** The snapshots that match the options. */
  readonly reports: readonly SnapshotReport[];
}

const unreadOf = ({ summary }: Overview) => summary?.unread ?? [];

const OVERVIEW_COLUMNS: readonly Column<Overview>[] = [
  vmColumn(({ vm }) => vm.name, 'name'),
  {
    key: 'state',
    title: 'STATE',
    kind: 'text',
    leaves: LEAVES.state,
    value: ({ summary }) => summary && stateWord(summary.state),
    data: ({ summary }) => summary?.state ?? null,
    tone: ({ summary }) => (summary?.state === 'running' ? 'good' : 'plain'),
  },
  {
    key: 'snapshots',
    title: 'SNAPSHOTS',
    kind: 'count',
    value: (row) => (row.summary ? row.reports.length + unreadOf(row).length : null),
  },
  {
    key: 'current',
    title: 'CURRENT',
    kind: 'text',
    leaves: LEAVES.parent,
    value: ({ summary }) => summary?.current ?? null,
  },
  {
    key: 'newest',
    title: 'NEWEST',
    kind: 'time',
    age: true,
    // a snapshot that could not be read may be newer
    value: (row) => (unreadOf(row).length > 0 ? null : (row.reports.at(-1)?.createdAtSeconds ?? null)),
  },
  {
    key: 'error',
    title: 'ERROR',
    kind: 'text',
    ifAny: true,
    wraps: true,
    value: (row) =>
      failuresOf(row)
        .map(({ message }) => message)
        .join('; ') || null,
    tone: () => 'bad',
  },
];

/** A failure of one VM does not stop the others; throws at the end if there was one. */
export async function listMany(ctx: Context, words: readonly string[], options: ListOptions): Promise<void> {
  const { tree = false } = options;
  // a tree shows snapshots, not VMs
  const atAGlance = words.length === 0 && !options.all && !tree;
  const isEach = words.length === 0;
  const selection = toSelection(words, isEach ? { ...options, all: true } : options);
  const { vms: chosen, named, missing } = await chooseDomains(ctx, selection);
  const [only] = chosen;
  if (words.length === 1 && only && named.has(only))
    return listOne(ctx, await readByUuid(ctx.virsh, only.uuid, only.name), options, selection);
  const summaries = await readSummaries(ctx.virsh, chosen);
  const now = ctx.clock.now() / 1000;
  const runs = await ctx.runFiles.list();
  const read = summaries.flatMap((each) => ('failure' in each || !isWanted(selection, each) ? [] : [each]));
  const overviews = [
    ...read.map((summary) => overviewOf(summary, options, now, runs)),
    ...[
      ...summaries.flatMap((each) => ('failure' in each ? [each] : [])),
      ...missing.map(withOwner(ctx, read)),
    ].map(
      ({ name, uuid, failure }): Overview => ({
        vm: { name, uuid },
        summary: null,
        failure,
        reports: [],
      }),
    ),
  ].sort((a, b) => (a.vm.name < b.vm.name ? -1 : 1));
  checkFrom(overviews, options);
  const isWhole = isEach && !options.all && selection.states.length === 0 && selection.exclude.length === 0;
  if (overviews.length === 0 && !isWhole) throw nothingLeft(ctx, selection, chosen.length);
  const conclusion = concludeDomains(ctx, overviews.map(resultOf), {
    strict: false,
    parts: 'reads',
    inTable: () => true,
  });
  const rows = overviews.map((overview) => rowsOf(overview, tree));
  const reports = rows.flatMap(reportsOf);
  const count = counted(overviews.length, 'VM');
  await show(ctx, {
    kind: 'list',
    document: { domains: overviews.map((overview, i) => document(overview, reportsOf(rows[i] ?? []))) },
    ...(atAGlance ? overviewSections(ctx, overviews) : snapshotSections(ctx, overviews, rows, tree)),
    names: atAGlance
      ? overviews.map(({ vm }) => vm.name)
      : overviews.flatMap((overview, i) =>
          (rows[i] ?? []).flatMap(({ name }) => (name === null ? [] : ownName(overview.vm, name))),
        ),
    empty: overviews.length === 0 ? await noVmsText(ctx) : `no snapshot of ${count} is listed`,
    remarks:
      overviews.length === 0
        ? []
        : [...(atAGlance ? [] : legend(reports)), `${count}, ${sumLine(reports, now)}`],
  });
  if (conclusion) throw conclusion;
}

/** `list VM NAME`: a word that is no VM, but a snapshot of one that is listed. */
const withOwner =
  (ctx: Context, read: readonly DomainSummary[]) =>
  (missing: Missing): Missing => {
    const owner = read.find(({ snapshots }) => snapshots.some(({ name }) => name === missing.name));
    if (!owner) return missing;
    const { code, message } = missing.failure;
    const line = kvmsnapLine('info', [owner.name, missing.name]);
    const { command } = withConnection(ctx, { what: '', command: line });
    const hint = `it is a snapshot of ${inText(owner.name)}`;
    return { ...missing, failure: new KvmsnapError(code, message, { hint, command }) };
  };

const isWanted = ({ states }: Selection, { state }: DomainSummary): boolean =>
  states.length === 0 || states.includes(state);

function overviewOf(
  summary: DomainSummary,
  options: ListOptions,
  now: number,
  runs: readonly RunRecord[],
): Overview {
  const { name, uuid, current } = summary;
  const facts = {
    ...{ current, busy: isSaving(summary), images: null },
    readings: readingsAmong(runs, uuid),
  };
  const reports = chosenOf(reportSnapshots(summary.snapshots, facts), current, options, now);
  return { vm: { name, uuid }, summary, failure: null, reports };
}

/** Throws `not-found` if no VM has the snapshot of `--from`. */
function checkFrom(overviews: readonly Overview[], { from }: ListOptions): void {
  const has = ({ summary }: Overview) =>
    !summary || [...summary.snapshots, ...summary.unread].some(({ name }) => name === from);
  if (from !== undefined && !overviews.some(has))
    throw new KvmsnapError('not-found', `none of these VMs has a snapshot ${inText(from)}`);
}

const failuresOf = (overview: Overview): readonly KvmsnapError[] =>
  overview.failure ? [overview.failure] : unreadOf(overview).map(({ failure }) => failure);

function resultOf(overview: Overview): DomainOutcome<unknown> {
  const { vm, summary } = overview;
  const failures = failuresOf(overview);
  return {
    vm,
    state: summary?.state ?? null,
    value: summary,
    failures,
    succeeded: summary?.snapshots.length ?? 0,
    outcome: failures.length === 0 ? 'done' : 'failed',
  };
}

function rowsOf({ vm: { name }, summary, failure, reports }: Overview, tree: boolean) {
  if (failure) return [{ vm: name, name: null, report: null, error: failure.message }];
  return listedRows(name, { snapshots: reports, unread: summary?.unread ?? [], tree });
}

const overviewSections = (ctx: Pick<Context, 'terminal'>, overviews: readonly Overview[]) => ({
  sections: [section({ columns: OVERVIEW_COLUMNS, rows: overviews, ...adviceBeneath(ctx, failuresOf) })],
});

/** Why a row has no snapshot: its VM, or the snapshot, could not be read. */
const failuresOfRow =
  (overviews: readonly Overview[]) =>
  ({ vm, name, report }: Listed<TreeRow>): readonly KvmsnapError[] =>
    overviews
      .filter((overview) => report === null && overview.vm.name === vm)
      .flatMap(({ failure, summary }) =>
        name === null
          ? (failure ?? [])
          : (summary?.unread ?? []).flatMap((each) => (each.name === name ? each.failure : [])),
      );

type Rows = readonly (readonly Listed<TreeRow>[])[];

/** One table for all VMs; each tree follows the name of its VM. */
function snapshotSections(ctx: Context, overviews: readonly Overview[], rows: Rows, tree: boolean) {
  const advice = adviceBeneath(ctx, failuresOfRow(overviews));
  const trees = () =>
    overviews.map(({ vm }, i) =>
      section({
        title: vm.name,
        columns: listedColumns(withoutImages(TREE_COLUMNS)),
        rows: rows[i] ?? [],
        ...advice,
      }),
    );
  const all = (columns: typeof SNAPSHOT_COLUMNS) =>
    section({ columns: [VM_COLUMN, ...listedColumns(withoutImages(columns))], rows: rows.flat(), ...advice });
  return { sections: tree ? trees() : [all(SNAPSHOT_COLUMNS)], csv: all(SNAPSHOT_CSV) };
}

const document = ({ vm, summary, failure }: Overview, reports: readonly SnapshotReport[]) => ({
  ...domainDocument({ ...vm, state: summary?.state ?? null }),
  current: summary?.current ?? null,
  snapshots: reports.map(snapshotDocument),
  ...(failure ? { errors: [errorDocument(failure)], failed: [] } : unreadDocument(summary?.unread ?? [])),
});
