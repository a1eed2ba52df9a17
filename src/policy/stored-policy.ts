import type { VirshCommand } from '../libvirt/batch.ts';
import { readDefinitions } from '../libvirt/definition/definitions.ts';
import { POLICY_KEY, policyElement, policyIn } from '../libvirt/xml/policy.ts';
import { type Domain, isActive } from '../model/domain.ts';
import { POLICY_NAMESPACE } from '../model/policy.ts';
import type { Context } from '../run/context.ts';

/** The policy of a VM as libvirt keeps it: in the definition of the running VM, and in that for its next start. */

export interface StoredPolicy {
  readonly live: string | null;
  /** That of a VM that is off, and of one that is transient, is its only one. */
  readonly config: string | null;
}

/** Reads both in one process. */
export async function readPolicy({ virsh }: Pick<Context, 'virsh'>, uuid: string): Promise<StoredPolicy> {
  const { live, config } = await readDefinitions(virsh, uuid, []);
  const now = live && policyIn(live);
  return { live: now, config: config ? policyIn(config) : now };
}

/** Whether a run and the next start of the VM find this policy. */
export const isPolicy = ({ live, config }: StoredPolicy, wanted: string | null): boolean =>
  live === wanted && config === wanted;

/** The virsh command that sets the policy, or removes it (null), in every definition that the VM has. */
export function policyCommand(
  { uuid, state, transient }: Pick<Domain, 'uuid' | 'state' | 'transient'>,
  policy: string | null,
): VirshCommand {
  return [
    ...['metadata', '--domain', uuid, '--uri', POLICY_NAMESPACE],
    ...(policy === null ? ['--remove'] : ['--key', POLICY_KEY, '--set', policyElement(policy)]),
    ...(isActive(state) ? ['--live'] : []),
    ...(transient ? [] : ['--config']),
  ];
}
