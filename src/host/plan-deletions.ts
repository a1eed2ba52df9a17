import type { Context } from '../context.ts';
import { afterDeletion } from '../core/after-deletion.ts';
import { doomed } from '../core/deletion-set.ts';
import type { SnapshotReport } from '../core/report.ts';
import { locationOf } from '../core/snapshot.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { checkDeletable, type DeleteRequest, deleteCommand, narrowPlaces } from './delete-snapshots.ts';
import { findSnapshot, type Machine } from './machine.ts';

/** Several deletions, one after the other, as a dry run tells of them. */

export interface DeletionPlan {
  readonly commands: VirshCommand[];
  /** All that would go. */
  readonly gone: Set<string>;
  /** Names of which only the real run shows whether they can be deleted. */
  readonly unjudged: string[];
  /** Names of which only the real run shows whether there is room for the merge. */
  readonly unmeasured: string[];
}

/** Judges each as the ones before it would leave the machine. Throws as `checkDeletable` does. */
export async function planDeletions(
  ctx: Context,
  machine: Machine,
  names: readonly string[],
  request: DeleteRequest,
): Promise<DeletionPlan> {
  const plan: DeletionPlan = { commands: [], gone: new Set(), unjudged: [], unmeasured: [] };
  // null: what those before leave is not foreseen
  let now: Machine | null = machine;
  for (const name of names) {
    if (plan.gone.has(name)) continue;
    const at: Machine = now ?? machine;
    const snapshot = findSnapshot(at, name);
    const isMerged = !request.metadataOnly && locationOf(snapshot) === 'external';
    const before = plan.commands.length;
    // what an external one lies on changes with those before
    if (isMerged && !now) plan.unjudged.push(name);
    else await checkDeletable(ctx, at, snapshot, request, before > 0);
    if (isMerged && now && before > 0 && (await isNarrow(now, snapshot, before + 1)))
      plan.unmeasured.push(name);
    plan.commands.push(deleteCommand(machine, snapshot, request));
    for (const victim of doomed(at.snapshots, snapshot, request.reach)) plan.gone.add(victim.name);
    now = now && afterwards(now, snapshot, request);
  }
  return plan;
}

/** `merges`: so many, this one and those before it, may each take as much as the disk's size. */
const isNarrow = async (machine: Machine, snapshot: SnapshotReport, merges: number): Promise<boolean> =>
  (await narrowPlaces(machine, snapshot, merges)).length > 0;

function afterwards(machine: Machine, snapshot: SnapshotReport, { reach }: DeleteRequest): Machine | null {
  const left = afterDeletion(machine, snapshot, reach);
  return left && { ...machine, ...left };
}
