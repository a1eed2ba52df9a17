import type { VirshCommand } from '../libvirt/batch.ts';
import type { Virsh } from '../libvirt/virsh.ts';
import { type Domain, isActive } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';
import type { Context } from '../run/context.ts';

/** Asks the agent inside a guest, through virsh (commands: QEMU's qga/qapi-schema.json). */

/** Seconds to wait for an agent that hangs. */
const ANSWER_SECONDS = '5';

function agentCommand(uuid: string, execute: string): VirshCommand {
  const timeout = ['--timeout', ANSWER_SECONDS];
  return ['qemu-agent-command', '--domain', uuid, ...timeout, '--cmd', JSON.stringify({ execute })];
}

/** Whether the agent answers at all. */
export async function agentAnswers(virsh: Virsh, uuid: string): Promise<boolean> {
  const { texts } = await virsh.read([agentCommand(uuid, 'guest-ping')]);
  return /"return"/.test(texts[0] ?? '');
}

/** Whether the guest file systems are frozen; null if the agent does not tell. */
export async function isFrozen(virsh: Virsh, uuid: string): Promise<boolean | null> {
  const { texts } = await virsh.read([isFrozenCommand(uuid)]);
  return frozenIn(texts[0] ?? '');
}

/** Asks whether the guest file systems are frozen; `frozenIn` reads the answer. */
export const isFrozenCommand = (uuid: string): VirshCommand => agentCommand(uuid, 'guest-fsfreeze-status');

/** Null if the agent did not tell. */
export function frozenIn(text: string): boolean | null {
  const [, status] = /"return" *: *"(frozen|thawed)"/.exec(text) ?? [];
  return status === undefined ? null : status === 'frozen';
}

/** The virsh command that freezes the guest file systems; it waits until the guest has written all its data. */
export const freezeCommand = (uuid: string): VirshCommand => ['domfsfreeze', '--domain', uuid];

/** The virsh command that thaws the guest file systems. */
export function thawCommand(uuid: string): VirshCommand {
  return ['domfsthaw', '--domain', uuid];
}

/**
 * Makes sure that the guest file systems are thawed after a quiesced snapshot, whether it succeeded or not. libvirtd
 * thaws them itself, unless it died in between. Returns what is left to do; empty if they are thawed.
 */
export async function thaw(ctx: Context, { uuid, state }: Domain): Promise<Finding[]> {
  if (!isActive(state) || (await isFrozen(ctx.virsh, uuid)) === false) return [];
  const command = thawCommand(uuid);
  const { exitCode } = await ctx.virsh.write(command);
  const still = await isFrozen(ctx.virsh, uuid);
  if (still === false || (still === null && exitCode === 0)) {
    ctx.terminal.note('warning: the guest file systems were still frozen; kvmsnap has thawed them');
    return [];
  }
  const what = still
    ? 'the guest file systems are still frozen, so programs in the guest that write to them hang'
    : 'the guest file systems may still be frozen; the guest agent does not answer';
  return [{ what, hint: 'thaw them', command: ctx.virsh.line(command) }];
}
