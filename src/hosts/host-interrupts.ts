import { setMaxListeners } from 'node:events';
import { createInterrupts, type Interrupts } from '../host/interrupts.ts';
import { HostAway } from '../host/ssh/host-away.ts';

/** What signals and the time limit do to the part of a run that is done on one host: signals reach all parts, and each has its own limit. */

export interface HostInterrupts extends Interrupts {
  /** Waits for it, unless this part is to end now; then throws the reason. */
  unlessStopped<T>(ended: Promise<T>): Promise<T>;
  /** Tells that a write may have been begun there. */
  noteWrite(): void;
}

/** `note` tells the user what happens on that host. */
export function interruptsOfHost(
  base: Interrupts,
  name: string,
  note: (line: string) => void,
): HostInterrupts {
  const own = createInterrupts(note);
  const stop = AbortSignal.any([base.stop, own.stop]);
  setMaxListeners(0, stop);
  let writes = 0;
  /** A host that goes away between a write and its verification: nobody has seen how it ended. */
  const tellUnseen = async <T>(what: string, task: () => Promise<T>): Promise<T> => {
    const before = writes;
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof HostAway) || writes === before) throw error;
      throw error.prefixed(`it is unknown how ${what} ended: `);
    }
  };
  return {
    stop,
    get pending() {
      return base.pending ?? own.pending;
    },
    get abandoned() {
      return base.abandoned;
    },
    explain: (error) => (error === null ? own.pending : own.explain(error)),
    raise: base.raise,
    expire: own.expire,
    handOver: base.handOver,
    hold: base.hold,
    async protect(what, task, by) {
      if (own.pending) throw own.pending;
      const there = `${what} on ${name}`;
      return base.protect(there, () => own.protect(there, () => tellUnseen(there, task), by), by);
    },
    noteWrite() {
      writes++;
    },
    unlessStopped(ended) {
      stop.throwIfAborted();
      const listening = new AbortController();
      const stopped = new Promise<never>((_, reject) => {
        stop.addEventListener('abort', () => reject(stop.reason), { once: true, signal: listening.signal });
      });
      return Promise.race([ended, stopped]).finally(() => listening.abort());
    },
  };
}
