import { KvmsnapError, lineWith } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { isActive } from '../model/domain.ts';
import { nearest } from '../model/names.ts';
import { NO_RUN, policyInText } from '../model/policy.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { type ActionResult, forEachDomain } from '../run/for-each-domain.ts';
import { operate } from '../run/operation.ts';
import { toSelection } from '../run/select-options.ts';
import { readSelection } from '../vm/select.ts';
import type { PolicyOptions } from './command.ts';
import { report } from './report.ts';
import { setPolicy } from './set-policy.ts';
import { readPolicy } from './stored-policy.ts';

/** `policy`: shows which policy the VMs have chosen, or sets it. */

/** The policy of a VM, after it was set if that was asked for. */
export interface PolicyOfVm {
  readonly policy: string | null;
  /** The command that a dry run would run; null: none is needed. */
  readonly planned: VirshCommand | null;
}

/** Throws `not-found` for a policy without a file, and what failed. */
export async function policy(ctx: Context, words: readonly string[], options: PolicyOptions): Promise<void> {
  const { set, unset = false, force = false } = options;
  if (set !== undefined && unset) throw new KvmsnapError('usage', '--set cannot be combined with --unset');
  if (force && set === undefined) throw new KvmsnapError('usage', '--force needs --set');
  if (set !== undefined && set !== NO_RUN && !force) await requireFile(ctx, set);
  const selected = await readSelection(ctx, toSelection(words, { ...options, policy: undefined }));
  const run = { jobs: 1, skips: () => false };
  const isSet = set !== undefined || unset;
  const results = await forEachDomain(ctx, selected, run, (ctx, reading) =>
    isSet ? setOne(ctx, reading, set ?? null) : showOne(ctx, reading),
  );
  await report(ctx, results, { single: selected.single, isSet });
}

/** A mistyped name would leave the VM out of every run. */
async function requireFile({ configFiles }: Context, name: string): Promise<void> {
  const known = (await configFiles.names('.conf')).filter((each) => each !== NO_RUN);
  if (known.includes(name)) return;
  const near = nearest(name, known);
  const files = configFiles.directories.map((directory) => `${directory}/${name}.conf`).join(' or ');
  throw new KvmsnapError(
    'not-found',
    `there is no policy ${policyInText(name)}, so the VM would be left out of every run with a policy`,
    {
      hint: `write its options into ${files}, or use --force${near === null ? '' : `; or did you mean ${near}?`}`,
      meant: near === null ? undefined : lineWith({ kind: 'policy', word: name, by: near }),
    },
  );
}

async function setOne(
  ctx: Context,
  reading: DomainReading,
  wanted: string | null,
): Promise<ActionResult<PolicyOfVm>> {
  const ended = await operate(ctx, setPolicy(reading, wanted));
  const planned = 'planned' in ended ? ended.planned : null;
  return { value: { policy: wanted, planned }, failures: [], succeeded: 1 };
}

/** Of a running VM, also the policy for its next start is read, if it has another one. */
async function showOne(ctx: Context, { domain }: DomainReading): Promise<ActionResult<PolicyOfVm>> {
  const { live, config } = await readPolicy(ctx, domain.uuid);
  if (isActive(domain.state) && live !== config)
    ctx.terminal.note(
      `note: from its next start on, ${inText(domain.name)} has ${config === null ? 'no policy' : `the policy ${policyInText(config)}`}`,
    );
  return { value: { policy: live, planned: null }, failures: [], succeeded: 1 };
}
