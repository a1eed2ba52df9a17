import type { DomainState } from '../model/domain.ts';
import { parseState } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { Virsh } from './virsh.ts';

/**
 * Pauses a running guest for a moment. When the guest stops, QEMU writes everything that it has not written yet
 * (vm_stop).
 */

export interface Pause {
  /** The VM's state before, in between and after; null if virsh did not run so far. */
  readonly states: readonly [DomainState | null, DomainState | null, DomainState | null];
  /** The longest time for which the guest may have been paused, by virsh's own clock. */
  readonly milliseconds: number;
  readonly stderr: string;
}

/** The commands that suspend and resume a VM. */
export function pauseCommands(uuid: string): readonly [suspend: VirshCommand, resume: VirshCommand] {
  return [
    ['suspend', '--domain', uuid],
    ['resume', '--domain', uuid],
  ];
}

/** Pauses and resumes the VM at once, in one process that does both even if kvmsnap is killed. */
export async function pauseForAMoment(virsh: Virsh, uuid: string): Promise<Pause> {
  const [suspend, resume] = pauseCommands(uuid);
  const askState: VirshCommand = ['domstate', '--domain', uuid, '--reason'];
  const { texts, stderr } = await virsh.writeInOne([askState, suspend, askState, resume, askState]);
  const stateIn = (place: number) => parseState((texts[place] ?? '').replaceAll(TIME, '')).state || null;
  return {
    states: [stateIn(0), stateIn(2), stateIn(4)],
    milliseconds: texts.slice(1, 4).reduce((sum, text) => sum + timeIn(text ?? ''), 0),
    stderr,
  };
}

/** The words of `virsh -t` (vsh.c), which kvmsnap runs in English; an `echo` between two commands has such a line too. */
const TIME = /\(Time: ([\d.]+) ms\)\n?/g;

const timeIn = (text: string): number => Number([...text.matchAll(TIME)].at(-1)?.[1] ?? 0);
