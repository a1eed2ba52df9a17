import { KvmsnapError } from '../errors.ts';
import type { UnreadSnapshot } from '../libvirt/snapshots.ts';
import { inText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import { barColumn, type Column, LEAVES, section, type Value } from '../output/view.ts';
import type { Output } from '../run/context.ts';
import { type Fact, facts } from '../run/facts.ts';
import { shownName } from '../run/results.ts';
import { show } from '../run/show.ts';
import { unreadFailure, type Vm } from '../vm/load.ts';
import type { SpaceOptions } from './command.ts';
import { whyNot } from './cost-document.ts';
import type { Cost, MeasuredDisk, SnapshotCost, VmSpace } from './measure.ts';
import { spaceDocument } from './space-document.ts';

interface Row {
  readonly name: string;
  /** null: the snapshot as a whole. */
  readonly target: string | null;
  readonly cost: Cost | null;
  readonly approximate: boolean;
  readonly problem: string | null;
}

/** Shows the results for one VM; `names` are the requested snapshots, none for all. Throws as `space`. */
export async function showSpace(
  ctx: Output,
  vm: Vm,
  measured: VmSpace,
  names: readonly string[],
  { disks = false, sort = 'created' }: Pick<SpaceOptions, 'disks' | 'sort'>,
): Promise<void> {
  const shown = names.length === 0 ? measured.snapshots : onlyOf(measured, names);
  const sorted = sort === 'frees' ? [...shown].sort((a, b) => freesOf(b) - freesOf(a)) : shown;
  const unread = names.length === 0 ? vm.unread : [];
  const rows = [...sorted.flatMap((each) => rowsOf(each, disks)), ...unread.map(unreadRow)];
  await show(ctx, {
    kind: 'space',
    document: {
      domains: [spaceDocument(vm, measured, sorted, unread)],
    },
    sections: [
      section({ columns: costColumns(disks, rows), rows }),
      section({ columns: DISK_COLUMNS, rows: measured.disks }),
      ...(shown.length === 0 ? [] : [facts([totalOf(measured, names)])]),
    ],
    csv: section({ columns: csvColumns(vm, measured, disks), rows }),
    empty: `${inText(vm.domain.name)} has no snapshots`,
    names: [...sorted.map(({ snapshot }) => snapshot), ...unread].map(({ name }) =>
      shownName(ctx, vm.domain, name),
    ),
    remarks: [
      ...(rows.length === 0 ? [`${inText(vm.domain.name)} has no snapshots`] : []),
      ...(shown.length > 1 && measured.together.frees ? [NOT_A_SUM] : []),
    ],
  });
  const problems = measured.disks.flatMap(({ target, problem }) =>
    problem === null ? [] : [`disk ${target}: ${problem}`],
  );
  if (problems.length > 0)
    throw new KvmsnapError('check', `${inText(vm.domain.name)} cannot be measured: ${problems.join('; ')}`);
  const failure = unreadFailure({ ...vm, unread });
  if (failure) throw failure;
}

const NOT_A_SUM = 'Together they may free more than the sum of these figures, because snapshots share data.';

const onlyOf = ({ snapshots }: VmSpace, names: readonly string[]): SnapshotCost[] =>
  snapshots.filter(({ snapshot }) => names.includes(snapshot.name));

const unreadRow = ({ name, failure }: UnreadSnapshot): Row => ({
  name,
  target: null,
  cost: null,
  approximate: false,
  problem: failure.message,
});

const freesOf = ({ cost }: SnapshotCost): number => cost?.frees.hostBytes ?? 0;

function rowsOf({ snapshot: { name }, cost, disks, approximate }: SnapshotCost, eachDisk: boolean): Row[] {
  return [
    { name, target: null, cost, approximate, problem: cost ? null : whyNot(disks) },
    ...(eachDisk
      ? disks.map(({ target, cost, problem }) => ({ name, target, cost, approximate, problem }))
      : []),
  ];
}

const bytes = (
  key: string,
  title: string,
  value: (cost: Cost) => number | null,
  leaves?: number,
): Column<Row> => ({
  key,
  title,
  kind: 'bytes',
  value: ({ cost }) => cost && value(cost),
  approximate: ({ approximate }) => approximate,
  ...(leaves === undefined ? {} : { leaves }),
});
const NAME: Column<Row> = { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name };
const DISK: Column<Row> = { key: 'target', title: 'DISK', kind: 'text', value: ({ target }) => target };
const FREES = bytes('freesBytes', 'FREES', ({ frees }) => frees.hostBytes);
const HOLDS = bytes('holdsBytes', 'USES', ({ holds }) => holds.hostBytes, LEAVES.figures);
const MEMORY = bytes('vmStateBytes', 'MEMORY', ({ vmState }) => vmState.hostBytes, LEAVES.memory);
const CHANGED = bytes('changedBytes', 'CHANGED', ({ changedBytes }) => changedBytes, LEAVES.figures);
const PROBLEM: Column<Row> = {
  key: 'problem',
  title: 'WHY UNKNOWN',
  kind: 'text',
  value: ({ problem }) => problem,
  wraps: true,
  ifAny: true,
};

const costColumns = (disks: boolean, rows: readonly Row[]): Column<Row>[] => [
  NAME,
  ...(disks ? [DISK] : []),
  FREES,
  barColumn(rows, ({ cost }) => cost?.frees.hostBytes ?? 0),
  HOLDS,
  MEMORY,
  CHANGED,
  PROBLEM,
];

/** Columns of later versions come last. */
function csvColumns({ domain }: Vm, { together }: VmSpace, disks: boolean): Column<Row>[] {
  const constant = (key: string, value: Value): Column<Row> => ({
    key,
    title: '',
    kind: 'text',
    value: () => value,
  });
  return [
    NAME,
    ...(disks ? [DISK] : []),
    FREES,
    HOLDS,
    MEMORY,
    CHANGED,
    PROBLEM,
    { key: 'approximate', title: '', kind: 'mark', value: ({ approximate }) => approximate },
    constant('machine', domain.name),
    constant('togetherFreesBytes', together.frees?.hostBytes ?? null),
  ];
}

const DISK_COLUMNS: readonly Column<MeasuredDisk>[] = [
  { key: 'target', title: 'DISK', kind: 'text', value: ({ target }) => target },
  { key: 'virtualBytes', title: 'SIZE', kind: 'bytes', value: ({ image }) => image?.virtualBytes ?? null },
  {
    key: 'allocatedBytes',
    title: 'ALLOCATED',
    kind: 'bytes',
    value: ({ image }) => image?.allocatedBytes ?? null,
  },
  {
    key: 'freeBytes',
    title: 'FREE SPACE',
    kind: 'bytes',
    leaves: LEAVES.figures,
    value: ({ freeBytes }) => freeBytes,
  },
  { key: 'path', title: 'FILE', kind: 'text', ownLine: true, value: ({ image }) => image?.path ?? null },
];

function totalOf({ together, approximate }: VmSpace, names: readonly string[]): Fact {
  const label = names.length === 0 ? 'freed if all are deleted' : 'freed if these are deleted';
  const value = together.frees
    ? `${approximate ? '~' : ''}${humanBytes(together.frees.hostBytes)}`
    : 'not known';
  return { label, value };
}
