import { KvmsnapError } from '../errors.ts';
import { isHeld } from '../model/hold.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Context } from '../run/context.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { showPlan, showSnapshot } from '../run/show.ts';
import { findSnapshot, loadVm } from '../vm/load.ts';
import { type Described, redescribe } from './register.ts';

/** `hold` and `unhold`: whether a prune or a delete may touch it. */
export async function setHold(ctx: Context, vmName: string, name: string, held: boolean): Promise<void> {
  await apply(ctx, vmName, name, ({ description }) => ({ description, held }));
}

/** `describe`: another description; a hold stays. */
export async function describe(ctx: Context, vmName: string, name: string, text: string): Promise<void> {
  // XML keeps no carriage returns
  const description = text.replace(/\r\n?/g, '\n') || null;
  if (isHeld(description)) {
    throw new KvmsnapError('usage', 'a description cannot end with the line that marks a hold', {
      hint: 'kvmsnap hold protects a snapshot',
    });
  }
  await apply(ctx, vmName, name, ({ held }) => ({ description, held }));
}

async function apply(
  ctx: Context,
  vmName: string,
  name: string,
  change: (snapshot: SnapshotReport) => Described,
): Promise<void> {
  const { vm, done } = await retryWhileBusy(ctx, async (ctx) => {
    const vm = await loadVm(ctx, vmName);
    const snapshot = findSnapshot(vm, name);
    return { vm, done: await redescribe(ctx, vm, snapshot, change(snapshot)) };
  });
  // one that is so already needs nothing
  if (ctx.settings.dryRun) await showPlan(ctx, 'planned' in done ? [done.planned] : []);
  else if (!('planned' in done)) await showSnapshot(ctx, vm, done);
}
