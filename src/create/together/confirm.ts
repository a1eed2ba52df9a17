import { readRegistered } from '../../describe/register.ts';
import { KvmsnapError } from '../../errors.ts';
import { registerCommand } from '../../libvirt/create-command.ts';
import { readSnapshotXml } from '../../libvirt/snapshots.ts';
import { virshFailure } from '../../libvirt/virsh-error.ts';
import { withoutPauseRecord } from '../../libvirt/xml/pause-record.ts';
import { withDescription, withState } from '../../libvirt/xml/snapshot.ts';
import { withTogether } from '../../model/marks/together.ts';
import type { SnapshotReport } from '../../model/report.ts';
import { inText } from '../../model/text.ts';
import type { Context } from '../../run/context.ts';
import { carryOut } from '../../run/write.ts';
import type { Taken } from '../take.ts';

/**
 * Registers a verified snapshot anew: with the names of all VMs of its moment; without the record of the pause in its stored definition;
 * and, if kvmsnap itself has paused the guest, as one of a running VM, so that a revert lets the guest run. Throws what failed.
 */
export async function confirm(
  ctx: Context,
  { vm, name }: Taken,
  description: string | null,
  together: readonly string[],
  isPaused: boolean,
): Promise<SnapshotReport> {
  const { domain } = vm;
  const xml = await readSnapshotXml(ctx.virsh, domain, name, true);
  const marked = withDescription(withoutPauseRecord(xml), withTogether(description, together));
  const state = isPaused && /<state>paused</.test(marked) ? 'running' : null;
  const changed = state === null ? marked : withState(marked, state);
  const file = await ctx.savedXml.keep(`${domain.uuid}.${ctx.clock.now()}.new.xml`, changed);
  const command = registerCommand(domain.uuid, file, true);
  const end = await carryOut(ctx, { command, label: `registering ${inText(name)}`, growing: null });
  await ctx.savedXml.drop(file);
  const { now } = await readRegistered(ctx, vm, name, end);
  const isMarked = now?.together?.join('\n') === together.join('\n') && now.isCurrent;
  if (now && isMarked && (state === null || now.state === state)) return now;
  const what = `snapshot ${inText(name)} of ${inText(domain.name)} could not be marked as one of the group`;
  throw end.kind === 'refused' ? virshFailure(what, end.stderr) : new KvmsnapError('refused', what);
}
