import type { Context } from '../run/context.ts';
import { isHeld } from '../model/hold.ts';
import type { SnapshotReport } from '../model/report.ts';
import { KvmsnapError } from '../errors.ts';
import { findSnapshot, openMachine } from '../vm/load.ts';
import { patiently } from '../run/retry-while-busy.ts';
import { type Described, redescribe } from './register.ts';
import { showPlan, showSnapshot } from '../run/show.ts';

/** `hold` and `unhold`: whether a prune or a delete may touch it. */
export async function setHold(ctx: Context, machineName: string, name: string, held: boolean): Promise<void> {
  await apply(ctx, machineName, name, ({ description }) => ({ description, held }));
}

/** `describe`: another description; a hold stays. */
export async function describe(ctx: Context, machineName: string, name: string, text: string): Promise<void> {
  // XML keeps no carriage returns
  const description = text.replace(/\r\n?/g, '\n') || null;
  if (isHeld(description)) {
    throw new KvmsnapError('usage', 'a description cannot end with the line that marks a hold', {
      hint: 'kvmsnap hold protects a snapshot',
    });
  }
  await apply(ctx, machineName, name, ({ held }) => ({ description, held }));
}

async function apply(
  ctx: Context,
  machineName: string,
  name: string,
  change: (snapshot: SnapshotReport) => Described,
): Promise<void> {
  const { machine, done } = await patiently(ctx, async (ctx) => {
    const machine = await openMachine(ctx, machineName);
    const snapshot = findSnapshot(machine, name);
    return { machine, done: await redescribe(ctx, machine, snapshot, change(snapshot)) };
  });
  // one that is so already needs nothing
  if (ctx.settings.dryRun) await showPlan(ctx, 'planned' in done ? [done.planned] : []);
  else if (!('planned' in done)) await showSnapshot(ctx, machine, done);
}
