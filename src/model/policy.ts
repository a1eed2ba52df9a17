import { inText } from './text.ts';

/** The policy of a VM: which runs with `@NAME` are meant for it. libvirt keeps it in the metadata of the VM's XML. */

/** The namespace of the element (formatdomain, general metadata). It names no address, so it never has to change. */
export const POLICY_NAMESPACE = 'urn:kvmsnap:policy';

/** The policy of a VM that no run with a policy is meant for. */
export const NO_RUN = 'none';

/** Whether a policy can have this name: it is part of a file name. */
export const isPolicyName = (name: string): boolean => /^[A-Za-z0-9][\w.-]*$/.test(name);

/** The policy of a VM in words; null: it has chosen none of them. */
export function policyInText(choice: string): string {
  if (choice === NO_RUN) return choice;
  return isPolicyName(choice) ? `@${choice}` : inText(choice);
}

/** Why a run with that policy leaves out a VM with this choice; null: it does not. */
export function whyLeftOut(choice: string | null, policy: string): string | null {
  if (choice === null || (choice === policy && choice !== NO_RUN)) return null;
  return `its policy is ${policyInText(choice)}`;
}
