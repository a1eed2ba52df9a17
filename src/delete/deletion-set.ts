import { type DaemonVersion, FINDS_CHAIN, isFrom } from '../model/libvirt-versions.ts';
import type { SnapshotReport } from '../model/report.ts';
import { descendants } from '../model/tree.ts';

/** Which snapshots a delete takes with it. */

/** Which snapshots go beside the named one. */
export type DeleteScope = 'only' | 'children' | 'children-only';

/** All that go when this one is deleted. */
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
