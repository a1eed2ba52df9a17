import type { SnapshotReport } from '../model/report.ts';
import type { TreeNode } from '../model/tree.ts';
import type { Column } from './view.ts';

/** The columns in which snapshots are shown, wherever they are. */

type SnapshotColumn = Column<SnapshotReport>;

const MARK: SnapshotColumn = {
  key: 'current',
  title: '',
  kind: 'mark',
  value: (s) => s.isCurrent,
  tone: () => 'good',
};
const NAME: SnapshotColumn = {
  key: 'name',
  title: 'NAME',
  kind: 'text',
  value: (s) => s.name,
  tone: (s) => (s.isCurrent ? 'good' : 'plain'),
};
const CREATED: SnapshotColumn = {
  key: 'createdAt',
  title: 'CREATED',
  kind: 'time',
  value: (s) => s.createdAtSeconds,
};
const STATE: SnapshotColumn = {
  key: 'state',
  title: 'STATE',
  kind: 'text',
  value: (s) => (s.underWay ? 'under way' : s.state),
  data: (s) => s.state,
  tone: (s) => (s.underWay ? 'warn' : 'plain'),
};
const PARENT: SnapshotColumn = { key: 'parent', title: 'PARENT', kind: 'text', value: (s) => s.parent };
/** Left out of lists of several VMs, whose images were not looked at. */
export const VM_STATE: SnapshotColumn = {
  key: 'vmStateBytes',
  title: 'VM STATE',
  kind: 'bytes',
  value: (s) => s.vmStateBytes || null,
  data: (s) => s.vmStateBytes,
};
const DESCRIPTION: SnapshotColumn = {
  key: 'description',
  title: 'DESCRIPTION',
  kind: 'text',
  value: (s) => (s.held ? ['(held)', s.description].filter(Boolean).join(' ') : s.description),
  data: (s) => s.description,
  flexible: true,
};

/** `kvmsnap check` tells which, and what to do. */
const MOVED: SnapshotColumn = {
  key: 'moved',
  title: 'FILES',
  kind: 'text',
  ifAny: true,
  value: (s) => (s.moved ? 'moved' : null),
  tone: () => 'warn',
};

export const SNAPSHOT_COLUMNS: readonly SnapshotColumn[] = [
  MARK,
  NAME,
  CREATED,
  STATE,
  PARENT,
  VM_STATE,
  DESCRIPTION,
  MOVED,
];

/** The same facts beside a tree: the drawing says the parent. */
export const TREE_COLUMNS: readonly Column<TreeRow>[] = [
  MARK,
  { ...NAME, value: (row: TreeRow) => row.branch + row.name },
  CREATED,
  STATE,
  VM_STATE,
  DESCRIPTION,
  MOVED,
] as readonly Column<TreeRow>[];

/** A tree among those of several machines. */
export const SUMMARY_TREE_COLUMNS: readonly Column<TreeRow>[] = TREE_COLUMNS.filter(
  ({ key }) => key !== VM_STATE.key,
);

export interface TreeRow extends SnapshotReport {
  /** The lines drawn before the name. */
  readonly branch: string;
}

/** A row of a list: a snapshot, or in its place the error why there is none. */
export interface Listed<Report> {
  readonly vm: string;
  /** null: the VM as a whole. */
  readonly name: string | null;
  readonly report: Report | null;
  readonly error: string | null;
}

/** The columns of snapshots for rows of which some have nothing but a name and an error; in CSV, what came later stands last. */
export function listedColumns<Report>(columns: readonly Column<Report>[]): Column<Listed<Report>>[] {
  const listed = columns.map(
    ({ value, data = value, tone, approximate, ...column }): Column<Listed<Report>> => {
      const unread = (name: string | null) => (column.key === NAME.key ? name : null);
      return {
        ...column,
        value: ({ name, report }) => (report === null ? unread(name) : value(report)),
        data: ({ name, report }) => (report === null ? unread(name) : data(report)),
        tone: ({ report }) => (report === null ? 'bad' : (tone?.(report) ?? 'plain')),
        approximate: ({ report }) => report !== null && (approximate?.(report) ?? false),
      };
    },
  );
  const isLater = ({ key }: Column<Listed<Report>>) => key === MOVED.key;
  const error: Column<Listed<Report>> = {
    key: 'error',
    title: 'ERROR',
    kind: 'text',
    ifAny: true,
    whole: true,
    value: ({ error }) => error,
    tone: () => 'bad',
  };
  return [...listed.filter((column) => !isLater(column)), error, ...listed.filter(isLater)];
}

/** The rows of a tree, parents before children, oldest first among brothers. Iterative: a chain may be 1000 deep. */
export function treeRows(
  roots: readonly TreeNode[],
  reports: ReadonlyMap<string, SnapshotReport>,
): TreeRow[] {
  const rows: TreeRow[] = [];
  const stack = roots.map((node) => ({ node, branch: '', indent: '' })).reverse();
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { node, branch, indent } = top;
    const report = reports.get(node.snapshot.name);
    if (report) rows.push({ ...report, branch });
    const last = node.children.length - 1;
    stack.push(
      ...node.children
        .map((child, i) => ({
          node: child,
          branch: `${indent}${i === last ? '└─ ' : '├─ '}`,
          indent: `${indent}${i === last ? '   ' : '│  '}`,
        }))
        .reverse(),
    );
  }
  return rows;
}
