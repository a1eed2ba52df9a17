import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import type { Domain } from '../model/domain.ts';
import { policyInText } from '../model/policy.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { type Operation, skip } from '../run/operation.ts';
import { carryOut, readAfter } from '../run/write.ts';
import { isPolicy, policyCommand, readPolicy, type StoredPolicy } from './stored-policy.ts';

/** Sets the policy of one VM. */

interface Facts {
  readonly domain: Domain;
  readonly stored: StoredPolicy;
}

/** The policy afterwards, with the VM. */
export interface PolicySet {
  readonly domain: Domain;
  readonly policy: string | null;
}

/** `wanted` null: the VM has no policy afterwards. If it is so already, nothing is done. */
export const setPolicy = (
  first: DomainReading,
  wanted: string | null,
): Operation<Facts, null, PolicySet, VirshCommand> => ({
  async load(ctx, again) {
    const { uuid, name } = first.domain;
    const { domain } = again ? await readByUuid(ctx.virsh, uuid, name) : first;
    return { domain, stored: await readPolicy(ctx, uuid) };
  },
  rules: skip('any VM can have a policy'),
  settled: ({ domain, stored }) => (isPolicy(stored, wanted) ? { domain, policy: wanted } : null),
  plan: (_, { domain }) => policyCommand(domain, wanted),
  consent: skip('no image and no snapshot is changed'),
  prepare: skip('virsh needs no file'),
  write: {
    subject: (_, { domain }) => `the policy of ${inText(domain.name)}`,
    run: (ctx, { domain }) =>
      carryOut(ctx, {
        command: policyCommand(domain, wanted),
        label: `setting the policy of ${inText(domain.name)}`,
        growing: null,
      }),
  },
  log: ({ domain }) => ({
    action: wanted === null ? 'policy-unset' : `policy-${wanted}`,
    vm: domain.name,
    snapshots: [],
  }),
  async verify(ctx, { domain: before }, end) {
    const { domain } = await readAfter(ctx, before.uuid, end);
    const stored = await readPolicy(ctx, domain.uuid);
    if (end.kind !== 'refused' && isPolicy(stored, wanted)) return { done: { domain, policy: wanted } };
    return { failure: failureOf(domain, wanted, end.kind === 'done' ? null : end.stderr), seen: null };
  },
  residue: skip('nothing else was changed'),
});

function failureOf({ name }: Domain, wanted: string | null, stderr: string | null): KvmsnapError {
  const policy = wanted === null ? 'no policy' : `the policy ${policyInText(wanted)}`;
  if (stderr !== null) return virshFailure(`cannot give ${inText(name)} ${policy}`, stderr);
  return new KvmsnapError(
    'refused',
    `virsh reported success, but ${inText(name)} does not have ${policy} in all of its definitions`,
    { hint: 'a VM that was started or stopped meanwhile has another definition; run the same command again' },
  );
}

/** A policy must not be lost by a revert, which restores the definition of that time: sets it again, or says how to. */
export async function keepPolicy(ctx: Context, domain: Domain, wanted: string | null): Promise<void> {
  const { name, uuid } = domain;
  const command = policyCommand(domain, wanted);
  try {
    if (isPolicy(await readPolicy(ctx, uuid), wanted)) return;
    await ctx.virsh.write(command);
    if (isPolicy(await readPolicy(ctx, uuid), wanted)) return;
  } catch (error) {
    // the result of the revert is what has to be reported
    if (!(error instanceof KvmsnapError)) throw error;
  }
  const policy = wanted === null ? 'had no policy' : `had the policy ${policyInText(wanted)}`;
  ctx.terminal.note(
    `warning: ${inText(name)} ${policy} before the revert, which could not be kept. Set it again:\n  ${ctx.virsh.line(command)}`,
  );
}
