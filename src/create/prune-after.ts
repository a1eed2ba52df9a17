import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { inText } from '../model/text.ts';
import type { SpaceRequest, SpaceRun } from '../prune/free-space-run.ts';
import { pruneTogether, pruneVm } from '../prune/prune.ts';
import type { PruneRequest } from '../prune/prune-vm.ts';
import type { Context } from '../run/context.ts';
import type { ActionResult } from '../run/for-each-domain.ts';
import { readAgain, requireAllRead } from '../vm/load.ts';
import { type Created, type CreateResult, NOTHING_PRUNED } from './report.ts';

/** The prune that follows a snapshot by its keep rules. It is loaded only where there are any. */

/**
 * Prunes the VM's old snapshots. A failure is returned and not thrown, because the new snapshot is complete and must be
 * reported.
 */
export async function pruneAfter(
  ctx: Context,
  { domain }: DomainReading,
  pruning: PruneRequest,
  fresh: string,
): Promise<ActionResult<Pick<Created, 'pruned' | 'after'>>> {
  const nothing = { pruned: NOTHING_PRUNED, after: null };
  try {
    const after = await readAgain(ctx, domain);
    requireAllRead(ctx, after, `prune ${inText(domain.name)}`);
    if (pruning.freeMin) return { value: { ...nothing, after }, failures: [], succeeded: 0 };
    const { value: pruned, ...completed } = await pruneVm(ctx, after, pruning, fresh);
    return { ...completed, value: { ...nothing, pruned } };
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    return { value: nothing, failures: [error], succeeded: 0 };
  }
}

/** Prunes for free space over all VMs whose snapshot was taken. */
export async function freeTogether(
  ctx: Context,
  results: readonly CreateResult[],
  request: SpaceRequest,
): Promise<{ readonly pruned: CreateResult[]; readonly space: SpaceRun }> {
  const vmsToPrune = results.map(({ value }) =>
    value?.after ? { vm: value.after, fresh: value.name } : null,
  );
  const { results: after, space } = await pruneTogether(ctx, results, vmsToPrune, request);
  const pruned = results.map((result, i): CreateResult => {
    const { value: pruned, outcome, failures, succeeded } = after[i] ?? { value: null };
    if (!result.value || !pruned) return result;
    return {
      ...result,
      outcome: result.outcome === 'failed' ? 'failed' : outcome,
      value: { ...result.value, pruned },
      failures: [...result.failures, ...failures],
      succeeded: result.succeeded + succeeded,
    };
  });
  return { pruned, space };
}
