import type { SnapshotReport } from '../model/report.ts';
import { hasMemory, kindOf } from '../model/snapshot.ts';
import { stateWord } from './format.ts';
import type { TreeRow } from './table/tree.ts';
import { type Column, LEAVES } from './view.ts';

/** The columns for snapshots in all tables. */

type SnapshotColumn = Column<SnapshotReport>;

const MARK: SnapshotColumn = {
  key: 'current',
  title: '',
  kind: 'mark',
  value: ({ isCurrent, held, readers }) =>
    `${isCurrent ? '*' : ''}${held ? 'H' : ''}${readers.length > 0 ? 'R' : ''}`,
  data: ({ isCurrent }) => isCurrent,
  tone: () => 'good',
};
const NAME: SnapshotColumn = {
  key: 'name',
  title: 'NAME',
  kind: 'text',
  value: ({ name }) => name,
  tone: ({ isCurrent }) => (isCurrent ? 'good' : 'plain'),
};
const CREATED: SnapshotColumn = {
  key: 'createdAt',
  title: 'CREATED',
  kind: 'time',
  age: true,
  value: ({ createdAtSeconds }) => createdAtSeconds,
};
const STATE: SnapshotColumn = {
  key: 'state',
  title: 'STATE',
  kind: 'text',
  leaves: LEAVES.state,
  value: ({ underWay, state }) => (underWay ? 'under way' : stateWord(state)),
  data: ({ state }) => state,
  tone: ({ underWay }) => (underWay ? 'warn' : 'plain'),
};
const KIND: SnapshotColumn = { key: 'kind', title: 'KIND', kind: 'text', leaves: LEAVES.kind, value: kindOf };
/** Left out of lists of several VMs, whose images are not inspected. */
const MEMORY: SnapshotColumn = {
  key: 'memoryBytes',
  title: 'MEMORY',
  kind: 'bytes',
  leaves: LEAVES.memory,
  // saved, and nobody could see how much
  value: (snapshot) => (snapshot.memoryBytes ?? (hasMemory(snapshot) ? 'saved' : null)) || null,
  data: ({ memoryBytes }) => memoryBytes,
};
const PARENT: SnapshotColumn = {
  key: 'parent',
  title: 'PARENT',
  kind: 'text',
  leaves: LEAVES.parent,
  value: ({ parent }) => parent,
};
const DESCRIPTION: SnapshotColumn = {
  key: 'description',
  title: 'DESCRIPTION',
  kind: 'text',
  leaves: LEAVES.description,
  wraps: true,
  value: ({ description }) => description,
};
/** `kvmsnap check` tells which file has moved, and what to do. */
const MOVED: SnapshotColumn = {
  key: 'moved',
  title: 'FILES',
  kind: 'text',
  ifAny: true,
  value: ({ moved }) => (moved ? 'moved' : null),
  tone: () => 'warn',
};

/** Only in CSV: the memory inside the images, and facts that a table shows as marks. */
const VM_STATE: SnapshotColumn = {
  key: 'vmStateBytes',
  title: '',
  kind: 'bytes',
  value: ({ vmStateBytes }) => vmStateBytes,
};
/** When it was proven, or that it was not; `info` tells more. */
const VERIFIED: SnapshotColumn = {
  key: 'verified',
  title: 'VERIFIED',
  kind: 'time',
  age: true,
  ifAny: true,
  leaves: LEAVES.parent,
  value: ({ verified }) =>
    verified === null ? null : verified.outcome === 'proven' ? verified.atSeconds : verified.outcome,
  tone: ({ verified }) => (verified === null || verified.outcome === 'proven' ? 'plain' : 'warn'),
};
const HELD: SnapshotColumn = { key: 'held', title: '', kind: 'mark', value: ({ held }) => held };

export const SNAPSHOT_COLUMNS: readonly SnapshotColumn[] = [
  MARK,
  NAME,
  CREATED,
  STATE,
  KIND,
  MEMORY,
  PARENT,
  DESCRIPTION,
  MOVED,
  VERIFIED,
];

/** In CSV, columns of later versions come last. */
export const SNAPSHOT_CSV: readonly SnapshotColumn[] = [
  MARK,
  NAME,
  CREATED,
  STATE,
  PARENT,
  VM_STATE,
  DESCRIPTION,
  MOVED,
  KIND,
  MEMORY,
  HELD,
];

/** The columns next to a tree, which shows the parents itself. */
export const TREE_COLUMNS = SNAPSHOT_COLUMNS.filter((column) => column !== PARENT).map(
  (column): Column<TreeRow> => (column === NAME ? { ...NAME, lead: ({ lead }: TreeRow) => lead } : column),
);

/** Without facts that only the images contain. */
export const withoutImages = <Row>(columns: readonly Column<Row>[]): readonly Column<Row>[] =>
  columns.filter(({ key }) => key !== MEMORY.key && key !== VM_STATE.key);

/** A row of a list: a snapshot, or the error that replaces it. */
export interface Listed<Report> {
  readonly vm: string;
  /** null: the VM as a whole. */
  readonly name: string | null;
  readonly report: Report | null;
  readonly error: string | null;
}

/**
 * The columns of snapshots for lists in which some rows have only a name and an error, which is shown after the
 * description.
 */
export function listedColumns<Report>(columns: readonly Column<Report>[]): Column<Listed<Report>>[] {
  const listed = columns.map(
    ({ value, data = value, tone, lead, approximate, ...column }): Column<Listed<Report>> => {
      const unread = (name: string | null) => (column.key === NAME.key ? name : null);
      return {
        ...column,
        value: ({ name, report }) => (report === null ? unread(name) : value(report)),
        data: ({ name, report }) => (report === null ? unread(name) : data(report)),
        tone: ({ report }) => (report === null ? 'bad' : (tone?.(report) ?? 'plain')),
        approximate: ({ report }) => report !== null && (approximate?.(report) ?? false),
        ...(lead ? { lead: ({ report }) => (report === null ? '' : lead(report)) } : {}),
      };
    },
  );
  const error: Column<Listed<Report>> = {
    key: 'error',
    title: 'ERROR',
    kind: 'text',
    ifAny: true,
    wraps: true,
    value: ({ error }) => error,
    tone: () => 'bad',
  };
  const at = listed.findIndex(({ key }) => key === DESCRIPTION.key) + 1;
  return [...listed.slice(0, at), error, ...listed.slice(at)];
}

/** The meanings of the marks of these snapshots; empty if none is marked. */
export function legend(snapshots: readonly SnapshotReport[]): string[] {
  const marks = [
    ...(snapshots.some(({ isCurrent }) => isCurrent) ? ['* the current snapshot'] : []),
    ...(snapshots.some(({ held }) => held) ? ['H on hold: neither delete nor prune removes it'] : []),
    ...(snapshots.some(({ readers }) => readers.length > 0)
      ? ['R read by kvmsnap now: neither delete nor prune removes it meanwhile']
      : []),
  ];
  return marks.length === 0 ? [] : [marks.join('; ')];
}
