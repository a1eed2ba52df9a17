import type { UnreadSnapshot } from '../libvirt/snapshots.ts';
import type { SnapshotReport } from '../model/report.ts';
import { growTree } from '../model/tree.ts';
import { errorDocument } from '../output/documents.ts';
import { type Listed, type TreeRow, treeRows } from '../output/snapshot-columns.ts';
import type { ListOptions } from './command.ts';
import { filterSnapshots } from './snapshot-filter.ts';

/** What `list` shows of one VM: its snapshots, and those that could not be read. */

/** What the options let through of one VM's snapshots; below its current one, where it has one. */
export function chosenOf(
  snapshots: readonly SnapshotReport[],
  current: string | null,
  options: ListOptions,
): SnapshotReport[] {
  if (!options.current) return filterSnapshots(snapshots, options);
  return current === null ? [] : filterSnapshots(snapshots, { ...options, from: current });
}

interface Content {
  readonly snapshots: readonly SnapshotReport[];
  readonly unread: readonly UnreadSnapshot[];
  /** Parents before their children, and with the lines between them. */
  readonly tree: boolean;
}

/** A row for each snapshot; no filter can tell of one that could not be read, so these are always among them. */
export function listedRows(vm: string, { snapshots, unread, tree }: Content): Listed<TreeRow>[] {
  const rows = tree ? treeOf(snapshots) : snapshots.map((snapshot) => ({ ...snapshot, branch: '' }));
  return [
    ...rows.map((report) => ({ vm, name: report.name, report, error: null })),
    ...unread.map(({ name, failure }) => ({ vm, name, report: null, error: failure.message })),
  ];
}

const treeOf = (snapshots: readonly SnapshotReport[]): TreeRow[] =>
  treeRows(growTree(snapshots), new Map(snapshots.map((snapshot) => [snapshot.name, snapshot])));

/** What could not be read of a VM, as members of its document. */
export const unreadDocument = (unread: readonly UnreadSnapshot[]) => ({
  errors: unread.map(({ failure }) => errorDocument(failure)),
  failed: unread.map(({ name, failure }) => ({ name, ...errorDocument(failure) })),
});
