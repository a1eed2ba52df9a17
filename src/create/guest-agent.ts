import type { VirshCommand } from '../libvirt/batch.ts';
import type { Virsh } from '../libvirt/virsh.ts';

/** Talking to the agent within a guest (QEMU's qga/qapi-schema.json), by virsh. */

/** An agent that hangs must not hold us for long. */
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

/** Whether the guest's file systems are held still; null when the agent does not say. */
export async function isFrozen(virsh: Virsh, uuid: string): Promise<boolean | null> {
  const { texts } = await virsh.read([agentCommand(uuid, 'guest-fsfreeze-status')]);
  const [, status] = /"return" *: *"(frozen|thawed)"/.exec(texts[0] ?? '') ?? [];
  return status === undefined ? null : status === 'frozen';
}

/** Lets the guest's file systems go on. */
export function thawCommand(uuid: string): VirshCommand {
  return ['domfsthaw', '--domain', uuid];
}
