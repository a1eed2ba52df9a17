import { type DaemonVersion, FINDS_CHAIN, isFrom } from '../model/libvirt-versions.ts';
import type { SnapshotReport } from '../model/report.ts';
import { descendants } from '../model/tree.ts';

/** The set of snapshots that a deletion covers. */

/** Whether the descendants are deleted too, or only they. */
export type DeleteScope = 'only' | 'children' | 'children-only';

/** All snapshots that are deleted when `snapshot` is deleted with that scope. */
export function findDeletionSet(
  snapshots: readonly SnapshotReport[],
  snapshot: SnapshotReport,
  scope: DeleteScope,
): SnapshotReport[] {
  if (scope === 'only') return [snapshot];
  const below = new Set(descendants(snapshots, snapshot.name).map(({ name }) => name));
  return snapshots.filter(({ name }) => below.has(name) || (scope === 'children' && name === snapshot.name));
}

export interface Deletion {
  readonly snapshots: readonly SnapshotReport[];
  readonly snapshot: SnapshotReport;
  readonly scope: DeleteScope;
}

/** As `findDeletionSet`, of the facts of a deletion. */
export const deletionSetOf = ({ snapshots, snapshot, scope }: Deletion) =>
  findDeletionSet(snapshots, snapshot, scope);

/** How libvirt deletes an external snapshot (qemuSnapshotDeleteExternalPrepare). */
export function deletionOf({
  snapshot,
  current,
  daemonVersion,
}: {
  readonly snapshot: SnapshotReport;
  readonly current: string | null;
  readonly daemonVersion: DaemonVersion;
}): 'merge' | 'unlink' {
  const isSpare = snapshot.name !== current && snapshot.children.length === 0;
  return isSpare && isFrom(daemonVersion, FINDS_CHAIN) ? 'unlink' : 'merge';
}
