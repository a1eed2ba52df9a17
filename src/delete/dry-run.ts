import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { SnapshotReport } from '../model/report.ts';
import { locationOf } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import type { KnownCounts } from '../vm/find-undercounted.ts';
import { findSnapshot, type Vm } from '../vm/load.ts';
import { checkDeletable, checkHolds } from './check.ts';
import { type DeleteRequest, deleteCommand } from './deletion.ts';
import { findDeletionSet } from './deletion-set.ts';
import { type KnownFacts, tightOverlays } from './facts.ts';
import { afterDeletion } from './simulate.ts';

/** Plans several deletions, each as the earlier ones would leave the VM, for dry runs and questions. */

export interface DeletionPlan {
  readonly commands: VirshCommand[];
  /** The names of all snapshots that would be deleted. */
  readonly gone: Set<string>;
  /** Names that could not be checked, because it is not known how the earlier deletions leave the VM. */
  readonly unchecked: string[];
  /** Deletions that a rule refuses; the others are planned without them. */
  readonly refused: RefusedDeletion[];
  /** Names whose merge may not find enough space after the earlier deletions. */
  readonly unmeasured: string[];
}

/** Why one cannot be deleted. */
export interface RefusedDeletion {
  readonly name: string;
  readonly failure: KvmsnapError;
}

/** Checks each deletion on the VM as the earlier ones would leave it. */
export async function planDeletions(
  ctx: Context,
  vm: Vm,
  names: readonly string[],
  request: DeleteRequest,
): Promise<DeletionPlan> {
  const plan: DeletionPlan = { commands: [], gone: new Set(), refused: [], unchecked: [], unmeasured: [] };
  // the earlier deletions do not change who else uses the files
  const users = readOnce(() => readImageUsers(ctx, vm));
  // null: it is not known how the earlier deletions leave the VM
  let now: Vm | null = vm;
  const counts: KnownCounts = new Map();
  for (const name of names) {
    if (plan.gone.has(name)) continue;
    const at: Vm = now ?? vm;
    const before = plan.commands.length;
    const snapshot = await checked(ctx, at, name, request, {
      known: { isForeseen: before > 0, users, counts },
      isUnsure: !now,
    });
    if (snapshot instanceof KvmsnapError) {
      plan.refused.push({ name, failure: snapshot });
      continue;
    }
    const isMerged = goesByMerge(snapshot, request);
    if (isMerged && !now) plan.unchecked.push(name);
    if (isMerged && now && before > 0 && (await isNarrow(ctx, now, snapshot, before + 1)))
      plan.unmeasured.push(name);
    plan.commands.push(deleteCommand(vm, snapshot, request));
    for (const member of findDeletionSet(at.snapshots, snapshot, request.scope)) plan.gone.add(member.name);
    now = now && afterwards(now, snapshot, request);
  }
  return plan;
}

function readOnce<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | null = null;
  return () => {
    reading ??= read();
    return reading;
  };
}

const goesByMerge = (snapshot: SnapshotReport, { metadataOnly }: DeleteRequest): boolean =>
  !metadataOnly && locationOf(snapshot) === 'external';

/** The snapshot, or why it cannot be deleted. `isUnsure`: it is not known how the earlier deletions leave the VM. */
async function checked(
  ctx: Context,
  vm: Vm,
  name: string,
  request: DeleteRequest,
  { known, isUnsure }: { readonly known: KnownFacts; readonly isUnsure: boolean },
): Promise<SnapshotReport | KvmsnapError> {
  try {
    const snapshot = findSnapshot(vm, name);
    // the backing chain of an external snapshot changes with the earlier deletions
    const isMoot = isUnsure && goesByMerge(snapshot, request);
    if (isMoot) checkHolds(ctx, vm, snapshot, request);
    else await checkDeletable(ctx, vm, snapshot, request, known);
    return snapshot;
  } catch (error) {
    if (!(error instanceof KvmsnapError) || ctx.interrupts.stop.aborted) throw error;
    return error;
  }
}

/** Whether a merge may not find enough space. `merges`: how many merges, each of which may need as much as the disk's size. */
const isNarrow = async (ctx: Context, vm: Vm, snapshot: SnapshotReport, merges: number): Promise<boolean> =>
  (await tightOverlays(ctx, vm, snapshot, merges)).length > 0;

function afterwards(vm: Vm, snapshot: SnapshotReport, { scope }: DeleteRequest): Vm | null {
  const left = afterDeletion(vm, snapshot, scope);
  return left && { ...vm, ...left };
}
