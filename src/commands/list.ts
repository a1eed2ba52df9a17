import type { Context } from '../context.ts';
import { isSaving } from '../core/domain.ts';
import { reportSnapshots, type SnapshotReport } from '../core/report.ts';
import { isPattern } from '../core/selection.ts';
import { filterSnapshots, type SnapshotFilter } from '../core/snapshot-filter.ts';
import { growTree } from '../core/tree.ts';
import { KvmsnapError } from '../errors.ts';
import { noteUnseen } from '../host/disks.ts';
import { currentSnapshot, findSnapshot, type Machine, openMachine } from '../host/machine.ts';
import { chooseMachines, nothingLeft } from '../host/select.ts';
import type { SnapshotCost } from '../host/snapshot-space.ts';
import { type MachineSummary, readSummaries } from '../libvirt/overview.ts';
import { domainDocument, snapshotDocument } from '../render/documents.ts';
import {
  SNAPSHOT_COLUMNS,
  SUMMARY_COLUMNS,
  SUMMARY_TREE_COLUMNS,
  TREE_COLUMNS,
  type TreeRow,
  treeRows,
} from '../render/snapshot-columns.ts';
import { type Column, section } from '../render/view.ts';
import { ownName } from './results.ts';
import { type SelectionOptions, toSelection } from './selection.ts';
import { show } from './show.ts';

export interface ListOptions extends SelectionOptions, SnapshotFilter {
  readonly tree?: boolean;
  readonly space?: boolean;
  readonly current?: boolean;
}

/** `list`: the snapshots of one machine; of several; or without any, all machines at a glance. */
export async function list(ctx: Context, words: readonly string[], options: ListOptions): Promise<void> {
  const [word = ''] = words;
  const { all, state, exclude, space } = options;
  checkFilter(options);
  const isOne = words.length === 1 && !isPattern(word) && !all && !state && !exclude;
  if (space && !isOne) throw new KvmsnapError('usage', '--space is for one machine, by its name');
  await (isOne ? listOne(ctx, word, options) : listMany(ctx, words, options));
}

function checkFilter({ roots, from, current, descendants }: ListOptions): void {
  if (from !== undefined && current)
    throw new KvmsnapError('usage', '--from and --current exclude each other');
  const below = from !== undefined || current;
  if (roots && below) throw new KvmsnapError('usage', 'what is below a snapshot is no root');
  if (descendants && !below) throw new KvmsnapError('usage', '--descendants goes with --from or --current');
}

/** What the options let through of one machine's snapshots; below its current one, where it has one. */
function chosenOf(
  snapshots: readonly SnapshotReport[],
  current: string | null,
  options: ListOptions,
): SnapshotReport[] {
  if (!options.current) return filterSnapshots(snapshots, options);
  return current === null ? [] : filterSnapshots(snapshots, { ...options, from: current });
}

async function listOne(ctx: Context, word: string, options: ListOptions): Promise<void> {
  const { tree, space } = options;
  const machine = await openMachine(ctx, word);
  const { domain, current, images } = machine;
  if (options.from !== undefined) findSnapshot(machine, options.from);
  if (options.current) currentSnapshot(machine);
  const snapshots = chosenOf(machine.snapshots, current, options);
  const costs = space ? await costsOf(ctx, machine) : null;
  const withFrees = <Row extends SnapshotReport>(columns: readonly Column<Row>[]): readonly Column<Row>[] =>
    costs === null ? columns : [...columns.slice(0, -1), freesColumn<Row>(costs), ...columns.slice(-1)];
  noteUnseen(ctx, domain, images);
  await show(ctx, {
    document: {
      domains: [
        {
          ...domainDocument(domain),
          current,
          snapshots: snapshots.map((snapshot) => ({
            ...snapshotDocument(snapshot),
            ...(costs === null ? {} : { freesBytes: freesBytes(costs, snapshot) }),
          })),
        },
      ],
    },
    sections: [
      tree && ctx.settings.output === 'table'
        ? section({ columns: withFrees(TREE_COLUMNS), rows: treeOf(snapshots) })
        : section({ columns: withFrees(SNAPSHOT_COLUMNS), rows: snapshots }),
    ],
    names: snapshots.map(({ name }) => name),
    remarks:
      snapshots.length > 0
        ? []
        : [`'${domain.name}' has no ${machine.snapshots.length > 0 ? 'such ' : ''}snapshots`],
  });
}

/** By name, what deleting each one alone frees. */
type Costs = ReadonlyMap<string, SnapshotCost>;

async function costsOf(ctx: Context, machine: Machine): Promise<Costs> {
  const { measureMachine } = await import('../host/snapshot-space.ts');
  const { snapshots } = await measureMachine(ctx, machine, []);
  return new Map(snapshots.map((cost) => [cost.snapshot.name, cost]));
}

/** Bytes of the host; null when not known. */
const freesBytes = (costs: Costs, { name }: SnapshotReport): number | null =>
  costs.get(name)?.cost?.frees.hostBytes ?? null;

const freesColumn = <Row extends SnapshotReport>(costs: Costs): Column<Row> => ({
  key: 'freesBytes',
  title: 'FREES',
  kind: 'bytes',
  value: (row) => freesBytes(costs, row),
  approximate: ({ name }) => costs.get(name)?.approximate ?? false,
});

const treeOf = (snapshots: readonly SnapshotReport[]): TreeRow[] =>
  treeRows(growTree(snapshots), new Map(snapshots.map((snapshot) => [snapshot.name, snapshot])));

interface Overview extends MachineSummary {
  readonly reports: readonly SnapshotReport[];
}

const OVERVIEW_COLUMNS: readonly Column<Overview>[] = [
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  {
    key: 'state',
    title: 'STATE',
    kind: 'text',
    value: ({ state }) => state,
    tone: ({ state }) => (state === 'running' ? 'good' : 'plain'),
  },
  { key: 'snapshots', title: 'SNAPSHOTS', kind: 'count', value: ({ reports }) => reports.length },
  { key: 'current', title: 'CURRENT', kind: 'text', value: ({ current }) => current },
  {
    key: 'newest',
    title: 'NEWEST',
    kind: 'time',
    value: ({ reports }) => reports.at(-1)?.createdAtSeconds ?? null,
  },
];

/** Several machines, as libvirt alone tells of them: their images are not looked at. */
async function listMany(ctx: Context, words: readonly string[], options: ListOptions): Promise<void> {
  const atAGlance = words.length === 0 && !options.all;
  const selection = toSelection(words, atAGlance ? { ...options, all: true } : options);
  const { machines: chosen, named } = await chooseMachines(ctx, selection);
  const [only] = chosen;
  if (words.length === 1 && only && named.has(only)) return listOne(ctx, only.uuid, options);
  let isFound = options.from === undefined;
  const machines = (await readSummaries(ctx.virsh, chosen))
    .filter(({ state }) => selection.states.length === 0 || selection.states.includes(state))
    .map((machine): Overview => {
      const facts = { current: machine.current, busy: isSaving(machine), images: null };
      const reports = reportSnapshots(machine.snapshots, facts);
      isFound ||= reports.some(({ name }) => name === options.from);
      return { ...machine, reports: chosenOf(reports, machine.current, options) };
    });
  if (!isFound)
    throw new KvmsnapError('not-found', `none of these machines has a snapshot '${options.from}'`);
  const isWhole = atAGlance && selection.states.length === 0 && selection.exclude.length === 0;
  if (machines.length === 0 && !isWhole) throw nothingLeft(selection, chosen.length);
  const rows = machines.flatMap(({ name: machine, reports }) =>
    reports.map((report) => ({ machine, ...report })),
  );
  const table = atAGlance
    ? [section({ columns: OVERVIEW_COLUMNS, rows: machines })]
    : options.tree && ctx.settings.output === 'table'
      ? machines.map(({ name, reports }) =>
          section({ title: name, columns: SUMMARY_TREE_COLUMNS, rows: treeOf(reports) }),
        )
      : [section({ columns: SUMMARY_COLUMNS, rows })];
  await show(ctx, {
    document: {
      domains: machines.map((machine) => ({
        ...domainDocument(machine),
        current: machine.current,
        snapshots: machine.reports.map(snapshotDocument),
      })),
    },
    sections: table,
    names: atAGlance
      ? machines.map(({ name }) => name)
      : machines.flatMap((machine) => machine.reports.map(({ name }) => ownName(machine, name))),
    remarks: machines.length === 0 ? ['there are no machines'] : [],
  });
}
