import { setMaxListeners } from 'node:events';
import { type EndingSignal, KvmsnapError, SIGNAL_FAILURES } from './errors.ts';

/**
 * What a signal or the time limit does. A read ends at once. A write cannot be cancelled, since libvirtd carries on
 * without its client (hazard 8): the first signal waits for the true end, a second one and the limit stop waiting.
 */
export interface Interrupts {
  /** Aborted, with the KvmsnapError to throw, when the run is to end now. */
  readonly stop: AbortSignal;
  /** The failure to end with, once the write under way has been seen through; null while nothing was asked. */
  readonly pending: KvmsnapError | null;
  /** Whether it ended while something was being written, which is carried on with. */
  readonly leftWriting: boolean;
  /** The failure to end with when this was thrown: one of a write that was seen through after a signal is told with it. */
  explain(error: unknown): unknown;
  raise(signal: EndingSignal): void;
  expire(seconds: number): void;
  /** Runs a write and the look afterwards. `what` says what is carried on with, should we stop waiting, and `by` whom. */
  protect<T>(what: string, task: () => Promise<T>, by?: Writer): Promise<T>;
}

/** Who carries a write on without us. */
export type Writer = 'libvirtd' | 'qemu-img';

/** `note` tells the user why nothing ends yet. */
export function createInterrupts(note: (line: string) => void): Interrupts {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // every process under way listens
  let pending: KvmsnapError | null = null;
  let leftWriting = false;
  const writing = new Map<string, Writer>();

  const end = (error: KvmsnapError) => {
    pending = error;
    leftWriting = writing.size > 0;
    controller.abort(error);
  };
  const writers = () => [...new Set(writing.values())].join(' and ');
  const carriesOn = () =>
    writing.size === 0
      ? ''
      : `; stopped waiting, but ${writers()} carries on: ${[...writing.keys()].join(', ')}`;
  const hint = () =>
    writing.size === 0 ? undefined : 'kvmsnap list shows how it ended; until then the machine may be paused';

  return {
    stop: controller.signal,
    get pending() {
      return pending;
    },
    get leftWriting() {
      return leftWriting;
    },
    explain(error) {
      if (!pending || !(error instanceof KvmsnapError) || error.code === pending.code) return error;
      const { hint, command } = error;
      return new KvmsnapError(pending.code, `${pending.message}; ${error.message}`, {
        hint,
        command,
        cause: error,
      });
    },
    raise(signal) {
      const code = SIGNAL_FAILURES[signal];
      if (writing.size === 0 || pending)
        return end(new KvmsnapError(code, `ended by ${signal}${carriesOn()}`, { hint: hint() }));
      pending = new KvmsnapError(code, `ended by ${signal}`);
      note(
        `${signal}: ${writers() === 'libvirtd' ? 'libvirt' : writers()} cannot cancel this; waiting for its true end (once more: stop waiting, it carries on)`,
      );
    },
    expire(seconds) {
      end(new KvmsnapError('timed-out', `not done within ${seconds} s${carriesOn()}`, { hint: hint() }));
    },
    async protect(what, task, by = 'libvirtd') {
      if (pending) throw pending;
      writing.set(what, by);
      try {
        return await task();
      } finally {
        writing.delete(what);
      }
    },
  };
}
