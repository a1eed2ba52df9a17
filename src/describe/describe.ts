import { KvmsnapError } from '../errors.ts';
import { isHeld } from '../model/marks/hold.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { operate } from '../run/operation.ts';
import { showPlan, showSnapshot } from '../run/show.ts';
import { type Described, redescribe } from './redescribe.ts';

/** `hold` and `unhold`: sets or removes the protection from prune and delete. */
export async function setHold(ctx: Context, vmName: string, name: string, held: boolean): Promise<void> {
  await apply(
    ctx,
    vmName,
    name,
    ({ description }) => ({ description, held }),
    held
      ? 'is on hold: neither prune nor delete removes it'
      : 'is not on hold: prune and delete can remove it',
  );
}

/** `describe`: changes the description and keeps a hold. */
export async function describe(ctx: Context, vmName: string, name: string, text: string): Promise<void> {
  // XML cannot store carriage returns
  const description = text.replace(/\r\n?/g, '\n') || null;
  if (isHeld(description)) {
    throw new KvmsnapError('usage', 'a description cannot end with the line that marks a hold', {
      hint: 'kvmsnap hold protects a snapshot',
    });
  }
  await apply(
    ctx,
    vmName,
    name,
    ({ held }) => ({ description, held }),
    description === null
      ? 'has no description now'
      : `has this description now: ${description.split('\n')[0]}`,
  );
}

async function apply(
  ctx: Context,
  vmName: string,
  name: string,
  change: (snapshot: SnapshotReport) => Described,
  isNow: string,
): Promise<void> {
  const ended = await operate(ctx, redescribe(vmName, name, change));
  if ('planned' in ended) return showPlan(ctx, [ended.planned.line], { vms: [ended.planned.vm] });
  const { vm, snapshot } = ended.done;
  // nothing has to be done if it is so already
  if (ctx.settings.dryRun) return showPlan(ctx, [], { vms: [] });
  await showSnapshot(ctx, vm, snapshot, [`${inText(snapshot.name)} of ${inText(vm.domain.name)} ${isNow}`]);
}
