import type { DomainState } from '../model/domain.ts';
import { parseState } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { Virsh } from './virsh.ts';

/** Stopping a running guest for a moment. When it stops, QEMU writes out all that it has not written yet (vm_stop). */

export interface Pause {
  /** The VM's state before, in between and after; null where virsh did not come to tell. */
  readonly states: readonly [DomainState | null, DomainState | null, DomainState | null];
  /** How long the guest can have stood still, at most, by virsh's own clock. */
  readonly milliseconds: number;
  readonly stderr: string;
}

/** What suspends and resumes a VM. */
export function pauseCommands(uuid: string): readonly [suspend: VirshCommand, resume: VirshCommand] {
  return [
    ['suspend', '--domain', uuid],
    ['resume', '--domain', uuid],
  ];
}

/** Pauses the VM and lets it go on at once, in one process that does so though this one be killed. */
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

/** The words of `virsh -t` (vsh.c), which kvmsnap reads in English; `echo` between two commands has its own. */
const TIME = /\(Time: ([\d.]+) ms\)\n?/g;

const timeIn = (text: string): number => Number([...text.matchAll(TIME)].at(-1)?.[1] ?? 0);
