import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import type { Domain } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import { stateWord } from '../output/format.ts';
import type { Context } from './context.ts';
import { toErrorFinding } from './enforce.ts';

/** What a failed write has left behind, each with the fix. */

/**
 * What is wrong with the VM after a failed write, each with the fix: a guest that is still paused (hazard 9). If another job
 * holds the VM, the state belongs to that job, and its end will fix it.
 */
export function residue({ virsh }: Pick<Context, 'virsh'>, domain: Domain, stateBefore: string): Finding[] {
  if (domain.state === stateBefore || domain.busy) return [];
  const what = `the VM was ${stateWord(stateBefore)} and is now ${stateWord(domain.state)}${domain.stateReason ? ` (${domain.stateReason})` : ''}`;
  // libvirt starts QEMU paused for some work on a VM that is off, and no guest has run in it; a running VM was started by somebody
  if (stateBefore === 'shutoff')
    return [
      domain.state === 'paused'
        ? { what, hint: 'stop the VM that libvirt started', command: virsh.line(['destroy', domain.uuid]) }
        : { what },
    ];
  if (domain.state === 'paused')
    return [{ what, hint: 'resume the VM', command: virsh.line(['resume', domain.uuid]) }];
  return domain.state === 'shutoff'
    ? [{ what, hint: 'start the VM again', command: virsh.line(['start', domain.uuid]) }]
    : [{ what }];
}

/** libvirt loses the current snapshot if it cannot write its metadata (hazard 22). `expected`: the right current snapshot. */
export function lostCurrent(
  { virsh }: Pick<Context, 'virsh'>,
  { domain, current, snapshotNames }: DomainReading,
  expected: string | null,
): Finding[] {
  if (expected === null || current !== null || !snapshotNames.includes(expected)) return [];
  const command = virsh.line(['snapshot-current', '--domain', domain.uuid, '--snapshotname', expected]);
  const what = `libvirt no longer has ${inText(expected)} as the current snapshot`;
  return [{ what, hint: `make ${inText(expected)} the current snapshot again`, command }];
}

/** The failure, with everything that it left behind and how to fix it. */
export function withResidue(
  ctx: Pick<Context, 'virsh'>,
  failure: KvmsnapError,
  left: readonly Finding[],
): KvmsnapError {
  const findings = [...failure.findings, ...left.map((finding) => toErrorFinding(ctx, finding))];
  return KvmsnapError.of(failure.code, failure.subject, findings, { cause: failure });
}
