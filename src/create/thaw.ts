import { type Domain, isActive } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';
import type { Context } from '../run/context.ts';
import { isFrozen, thawCommand } from './guest-agent.ts';

/**
 * Sees to it that the guest's file systems are held still no longer, after a quiesced snapshot that succeeded or not.
 * libvirtd thaws them itself, unless it died in between. Returns what is left to do; empty: they are thawed.
 */
export async function thaw(ctx: Context, { uuid, state }: Domain): Promise<Finding[]> {
  if (!isActive(state) || (await isFrozen(ctx.virsh, uuid)) === false) return [];
  const command = thawCommand(uuid);
  const { exitCode } = await ctx.virsh.write(command);
  const still = await isFrozen(ctx.virsh, uuid);
  if (still === false || (still === null && exitCode === 0)) {
    ctx.terminal.note("warning: the guest's file systems were still frozen, and have been thawed now");
    return [];
  }
  const what = still
    ? "the guest's file systems are still frozen: whatever writes there stands still"
    : "whether the guest's file systems are thawed is not known, for its agent does not answer";
  return [{ what, command: ctx.virsh.line(command) }];
}
