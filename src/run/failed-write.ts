import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import type { Domain } from '../model/domain.ts';
import type { Finding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import type { Context } from './context.ts';
import { toErrorFinding } from './enforce.ts';

/** What a failed write has left behind, each with its cure. */

/**
 * What is odd about the VM after a failed write, each with its cure: a guest left paused (hazard 9). Where another
 * job holds it, the state is that job's, and its end will fix it.
 */
export function residue({ virsh }: Context, domain: Domain, stateBefore: string): Finding[] {
  if (domain.state === stateBefore || domain.busy) return [];
  const what = `the VM was ${stateBefore} and is now ${domain.state}${domain.stateReason ? ` (${domain.stateReason})` : ''}`;
  // libvirt starts QEMU for some work on a VM that is off; left paused, it never was the guest. One that runs somebody has started
  if (stateBefore === 'shutoff')
    return [domain.state === 'paused' ? { what, command: virsh.line(['destroy', domain.uuid]) } : { what }];
  if (domain.state === 'paused') return [{ what, command: virsh.line(['resume', domain.uuid]) }];
  return domain.state === 'shutoff' ? [{ what, command: virsh.line(['start', domain.uuid]) }] : [{ what }];
}

/** libvirt loses the current snapshot when it cannot write its metadata (hazard 22). `expected` should be it. */
export function lostCurrent(
  { virsh }: Context,
  { domain, current, snapshotNames }: DomainReading,
  expected: string | null,
): Finding[] {
  if (expected === null || current !== null || !snapshotNames.includes(expected)) return [];
  const command = virsh.line(['snapshot-current', '--domain', domain.uuid, '--snapshotname', expected]);
  return [{ what: `libvirt forgot that ${inText(expected)} is the current snapshot`, command }];
}

/** The failure, with all that it left behind and how to fix each. */
export function withResidue(failure: KvmsnapError, left: readonly Finding[]): KvmsnapError {
  return KvmsnapError.of(failure.code, failure.subject, [...failure.findings, ...left.map(toErrorFinding)], {
    cause: failure,
  });
}
