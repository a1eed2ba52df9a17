import { stillRuns } from '../host/process/own-process.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { askRunTime, forgetPause, parseRunTime } from '../libvirt/pause-record.ts';
import type { Virsh } from '../libvirt/virsh.ts';
import { type Domain, isActive, type PauseRecord } from '../model/domain.ts';

/** Guests that a run of kvmsnap has paused or frozen, and did not let go on because it was killed. */

/**
 * `under-way`: that run may still be at work. `over`: the guest runs, so only the record is left. `ours`: the guest still stands as that
 * run has left it. `unproven`: it is paused, but it has run since, or libvirt does not tell; somebody else may have paused it.
 */
export type LeftVerdict = 'under-way' | 'over' | 'ours' | 'unproven';

export interface LeftPause {
  readonly record: PauseRecord;
  readonly verdict: LeftVerdict;
}

/** Milliseconds after which a run on another host counts as dead if no job of libvirt holds the VM. */
const SILENCE_MILLISECONDS = 5 * 60_000;

/** Nanoseconds that the virtual CPUs may have run since: the kernel counts in steps of 10 ms, and QEMU wakes their threads for a save. */
const STEPS = 20e6;

/** The same for a record that was written just before the pause, because the guest ran on for a moment. */
const A_MOMENT = 500e6;

/** Reasons for `paused` that `suspend` leaves, also if libvirtd was started anew or died in a snapshot; not a disk error, for example. */
const BY_SUSPEND: ReadonlySet<string> = new Set(['user', '', 'saving', 'creating snapshot']);

/** What a record in the VM means now; null without one. One process if the guest is paused. */
export async function judgeLeftPause(virsh: Virsh, domain: Domain, now: number): Promise<LeftPause | null> {
  const { pauseRecord: record } = domain;
  if (!record || !isActive(domain.state)) return null;
  return { record, verdict: await verdictOn(virsh, domain, record, now) };
}

async function verdictOn(
  virsh: Virsh,
  domain: Domain,
  record: PauseRecord,
  now: number,
): Promise<LeftVerdict> {
  const alive = stillRuns(record.owner) ?? now - record.since < SILENCE_MILLISECONDS;
  if (alive || domain.busy) return 'under-way';
  if (record.how === 'frozen') return 'ours';
  if (domain.state !== 'paused') return 'over';
  if (!BY_SUSPEND.has(domain.stateReason)) return 'unproven';
  const { texts } = await virsh.read([askRunTime(domain.uuid)]);
  const ran = parseRunTime(texts[0] ?? '');
  if (ran === null || record.ran === null) return 'unproven';
  return ran - record.ran <= (record.exact ? STEPS : A_MOMENT) ? 'ours' : 'unproven';
}

/** The commands that let the guest go on, and remove the record; for one that runs already, only the last. */
export function letGoCommands(uuid: string, { record, verdict }: LeftPause): VirshCommand[] {
  const goOn = verdict === 'ours' ? [goOnCommand(uuid, record)] : [];
  return [...goOn, forgetPause(uuid)];
}

/** The command that lets the guest go on. */
export const goOnCommand = (uuid: string, { how }: Pick<PauseRecord, 'how'>): VirshCommand =>
  how === 'paused' ? ['resume', '--domain', uuid] : ['domfsthaw', '--domain', uuid];
