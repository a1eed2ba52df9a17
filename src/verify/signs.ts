import { humanBytes } from '../output/format.ts';

/** What a look at the throw-away VM shows, and what it proves. Pure. */

export interface Look {
  /** Whether libvirt still has the VM. */
  readonly exists: boolean;
  /** Its state and the reason, as virsh tells: `running (booted)`. */
  readonly state: string;
  readonly agentAnswers: boolean;
  /** When the balloon driver has last told statistics, in seconds since the epoch; 0: never. */
  readonly balloonAt: number;
  /** Whether a 64-bit kernel runs: its interrupt table is in the upper half of the addresses, where no firmware puts one. */
  readonly hasKernel: boolean;
  /** Bytes that the guest has read from its disks; null if unknown. */
  readonly readBytes: number | null;
}

/** Answers of virsh, '' for a command that failed. */
export interface Answers {
  readonly state: string;
  readonly memory: string;
  readonly blocks: string;
  readonly registers: string;
  readonly agent: string;
}

/** Format: `virsh domstate --reason`, `dommemstat`, `domstats --block`, QEMU's `info registers`, the guest agent's `guest-ping`. */
export function parseLook({ state, memory, blocks, registers, agent }: Answers): Look {
  const [, table = '0'] = /^IDT=\s*([0-9a-f]+)/m.exec(registers) ?? [];
  const reads = [...blocks.matchAll(/^\s*block\.\d+\.rd\.bytes=(\d+)/gm)].map(([, bytes]) => Number(bytes));
  return {
    exists: state.trim() !== '',
    state: state.trim(),
    agentAnswers: /"return"/.test(agent),
    balloonAt: Number(/^last_update (\d+)/m.exec(memory)?.[1] ?? 0),
    hasKernel: /^[89a-f]/.test(table.padStart(16, '0')),
    readBytes: reads.length === 0 ? null : reads.reduce((sum, bytes) => sum + bytes, 0),
  };
}

/** What was seen of a guest. */
export interface Seen {
  readonly outcome: 'proven' | 'not proven' | 'failed';
  /** In words, such as `the guest agent answers`. */
  readonly what: string;
}

/**
 * The verdict after these looks, in their order; null: it is too early. `over`: there is no time for another look. `resumed`: it was
 * resumed from its memory, so it is enough that it runs on.
 */
export function verdictOf(looks: readonly Look[], over: boolean, resumed = false): Seen | null {
  const last = looks.at(-1);
  if (!last) return over ? { outcome: 'not proven', what: 'there was no time for a look at it' } : null;
  // libvirt has the VM for a moment longer than its guest
  if (!last.exists || /^(in shutdown|shut off|crashed)/.test(last.state))
    return {
      outcome: 'failed',
      what: 'the guest has stopped: it reset itself, panicked or turned itself off',
    };
  if (!last.state.startsWith('running')) return { outcome: 'failed', what: `the VM is ${last.state}` };
  if (last.agentAnswers) return { outcome: 'proven', what: 'the guest agent answers' };
  const [first] = looks.filter(({ balloonAt }) => balloonAt > 0);
  if (first && last.balloonAt > first.balloonAt)
    return { outcome: 'proven', what: 'the balloon driver of the guest answers' };
  if (!over) return null;
  if (resumed) return { outcome: 'proven', what: 'the guest keeps running from its saved memory' };
  if (last.hasKernel)
    return {
      outcome: 'not proven',
      what: 'a kernel started, but neither the guest agent nor the balloon driver answered',
    };
  const reads = last.readBytes === null ? '' : `; it has read ${humanBytes(last.readBytes)} from its disks`;
  return { outcome: 'not proven', what: `no kernel started${reads}` };
}
