import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { SnapshotReport } from '../model/report.ts';
import { locationOf } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import { findSnapshot, type Vm } from '../vm/load.ts';
import { checkDeletable, checkHolds } from './check.ts';
import { type DeleteRequest, deleteCommand } from './deletion.ts';
import { findDeletionSet } from './deletion-set.ts';
import { type KnownFacts, tightOverlays } from './facts.ts';
import { afterDeletion } from './simulate.ts';

/** Several deletions, one after the other, as a dry run tells of them. */

export interface DeletionPlan {
  readonly commands: VirshCommand[];
  /** All that would go. */
  readonly gone: Set<string>;
  /** Names of which only the real run shows whether they can be deleted. */
  readonly unjudged: string[];
  /** What a rule is against; the others are planned as if it had not been named. */
  readonly refused: RefusedDeletion[];
  /** Names of which only the real run shows whether there is room for the merge. */
  readonly unmeasured: string[];
}

/** Why one cannot be deleted. */
export interface RefusedDeletion {
  readonly name: string;
  readonly failure: KvmsnapError;
}

/** Judges each as the ones before it would leave the VM. */
export async function planDeletions(
  ctx: Context,
  vm: Vm,
  names: readonly string[],
  request: DeleteRequest,
): Promise<DeletionPlan> {
  const plan: DeletionPlan = { commands: [], gone: new Set(), refused: [], unjudged: [], unmeasured: [] };
  // those before change nothing about who else uses the files
  const users = readOnce(() => readImageUsers(ctx, vm));
  // null: what those before leave is not foreseen
  let now: Vm | null = vm;
  for (const name of names) {
    if (plan.gone.has(name)) continue;
    const at: Vm = now ?? vm;
    const before = plan.commands.length;
    const snapshot = await judged(ctx, at, name, request, {
      known: { isForeseen: before > 0, users },
      isUnsure: !now,
    });
    if (snapshot instanceof KvmsnapError) {
      plan.refused.push({ name, failure: snapshot });
      continue;
    }
    const isMerged = goesByMerge(snapshot, request);
    if (isMerged && !now) plan.unjudged.push(name);
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

/** The snapshot, or why it cannot be deleted. `isUnsure`: what those before leave is not foreseen. */
async function judged(
  ctx: Context,
  vm: Vm,
  name: string,
  request: DeleteRequest,
  { known, isUnsure }: { readonly known: KnownFacts; readonly isUnsure: boolean },
): Promise<SnapshotReport | KvmsnapError> {
  try {
    const snapshot = findSnapshot(vm, name);
    // what an external one lies on changes with those before
    const isMoot = isUnsure && goesByMerge(snapshot, request);
    if (isMoot) checkHolds(ctx, vm, snapshot, request);
    else await checkDeletable(ctx, vm, snapshot, request, known);
    return snapshot;
  } catch (error) {
    if (!(error instanceof KvmsnapError) || ctx.interrupts.stop.aborted) throw error;
    return error;
  }
}

/** `merges`: so many, this one and those before it, may each take as much as the disk's size. */
const isNarrow = async (ctx: Context, vm: Vm, snapshot: SnapshotReport, merges: number): Promise<boolean> =>
  (await tightOverlays(ctx, vm, snapshot, merges)).length > 0;

function afterwards(vm: Vm, snapshot: SnapshotReport, { scope }: DeleteRequest): Vm | null {
  const left = afterDeletion(vm, snapshot, scope);
  return left && { ...vm, ...left };
}
