import type { UnreadSnapshot } from '../libvirt/snapshots.ts';
import type { SnapshotReport } from '../model/report.ts';
import { growTree } from '../model/tree.ts';
import { errorDocument } from '../output/documents.ts';
import { agoWords, counted } from '../output/format.ts';
import type { Listed } from '../output/snapshot-columns.ts';
import { type TreeRow, treeRows } from '../output/table/tree.ts';
import type { ListOptions } from './command.ts';
import { filterSnapshots } from './snapshot-filter.ts';

/** What `list` shows of one VM: its snapshots, including those that could not be read. */

/**
 * The snapshots that match the options; with `--current`, those below the current snapshot. A tree begins with the snapshot of `--from`
 * or `--current` and has all its descendants; virsh (9.0) shows only its children there, unless `--descendants` is given. `now`: in seconds
 * since the epoch.
 */
export function chosenOf(
  snapshots: readonly SnapshotReport[],
  current: string | null,
  options: ListOptions,
  now: number,
): SnapshotReport[] {
  const filter = options.tree ? { ...options, descendants: true, withFrom: true } : options;
  if (!options.current) return filterSnapshots(snapshots, filter, now);
  return current === null ? [] : filterSnapshots(snapshots, { ...filter, from: current }, now);
}

interface Content {
  readonly snapshots: readonly SnapshotReport[];
  readonly unread: readonly UnreadSnapshot[];
  /** The rows of the tree, parents before their children. */
  readonly tree: boolean;
}

/** A row for each snapshot. A snapshot that could not be read is always included, because no filter can exclude it. */
export function listedRows(vm: string, { snapshots, unread, tree }: Content): Listed<TreeRow>[] {
  const rows = tree ? treeOf(snapshots) : snapshots.map((snapshot) => ({ ...snapshot, lead: '' }));
  return [
    ...rows.map((report) => ({ vm, name: report.name, report, error: null })),
    ...unread.map(({ name, failure }) => ({ vm, name, report: null, error: failure.message })),
  ];
}

/** The snapshots in the order of the rows. */
export const reportsOf = (rows: readonly Listed<TreeRow>[]): SnapshotReport[] =>
  rows.flatMap(({ report }) => report ?? []);

/** `12 snapshots, newest 3 hours ago`; `now` in seconds since the epoch. */
export function sumLine(snapshots: readonly SnapshotReport[], now: number): string {
  const count = counted(snapshots.length, 'snapshot');
  if (snapshots.length === 0) return count;
  const newest = Math.max(...snapshots.map(({ createdAtSeconds }) => createdAtSeconds));
  return `${count}, newest ${agoWords(now - newest)}`;
}

const treeOf = (snapshots: readonly SnapshotReport[]): TreeRow[] =>
  treeRows(growTree(snapshots), new Map(snapshots.map((snapshot) => [snapshot.name, snapshot])));

/** The snapshots of a VM that could not be read, as members of its document. */
export const unreadDocument = (unread: readonly UnreadSnapshot[]) => ({
  errors: unread.map(({ failure }) => errorDocument(failure)),
  failed: unread.map(({ name, failure }) => ({ name, ...errorDocument(failure) })),
});
