import { setMaxListeners } from 'node:events';
import { type EndingSignal, type FailureCode, KvmsnapError, SIGNAL_FAILURES } from '../errors.ts';

/**
 * What a signal or the time limit does. A read ends at once. A write cannot be cancelled, since libvirtd carries on
 * without its client (hazard 8): the first signal waits for the true end, a second one and the limit stop waiting.
 */
export interface Interrupts {
  /** Aborted, with the KvmsnapError to throw, when the run is to end now. */
  readonly stop: AbortSignal;
  /** The failure to end with, once the write under way has been seen through; null while nothing was asked. */
  readonly pending: KvmsnapError | null;
  /** What goes on without us after a bug of ours in the middle of a write, as a sentence; null when nothing was being written. */
  readonly abandoned: string | null;
  /** The failure to end with when this was thrown: one of a write that was seen through after a signal is told with it. */
  explain(error: unknown): unknown;
  raise(signal: EndingSignal): void;
  expire(seconds: number): void;
  /**
   * Runs a write and the look afterwards. `what` says what is carried on with, should we stop waiting, and `by` whom. Throws
   * `pending` itself where nothing was begun, and a failure of its own, which tells of this write alone, where we stop waiting.
   */
  protect<T>(what: string, task: () => Promise<T>, by?: Writer): Promise<T>;
  /** Something was written that is still to be looked at: until the returned function is called, a first signal waits. */
  hold(): () => void;
}

/** Who carries a write on without us. */
export type Writer = 'libvirtd' | 'qemu-img';

/** `note` tells the user why nothing ends yet. */
export function createInterrupts(note: (line: string) => void): Interrupts {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // every process under way listens
  let pending: KvmsnapError | null = null;
  const writing = new Map<string, Writer>();
  let holds = 0;

  /** Why the run stops at once, before what it left under way is told. */
  let reason: { readonly code: FailureCode; readonly why: string } | null = null;
  const end = (code: FailureCode, why: string) => {
    reason = { code, why };
    pending = leaving(code, why, writing);
    controller.abort(pending);
  };

  return {
    stop: controller.signal,
    get pending() {
      return pending;
    },
    get abandoned() {
      if (writing.size === 0) return null;
      return `${writersOf(writing)} continues with ${[...writing.keys()].join(', ')}. kvmsnap list shows how it ended; until then the VM may be paused`;
    },
    explain(error) {
      if (!pending || !(error instanceof KvmsnapError) || error.code === pending.code) return error;
      return error.prefixed(`${pending.message}; `, pending.code);
    },
    raise(signal) {
      const code = SIGNAL_FAILURES[signal];
      if (writing.size + holds === 0 || pending) return end(code, `ended by ${signal}`);
      pending = new KvmsnapError(code, `ended by ${signal}`);
      if (writing.size === 0)
        return note(`${signal}: looking at what was done, and then it ends (once more: ends at once)`);
      note(
        `${signal}: ${writersOf(writing) === 'libvirtd' ? 'libvirt' : writersOf(writing)} cannot cancel this; waiting for its true end (once more: stop waiting, it carries on)`,
      );
    },
    expire(seconds) {
      end('timed-out', `not done within ${seconds} s`);
    },
    hold() {
      holds++;
      return () => void holds--;
    },
    async protect(what, task, by = 'libvirtd') {
      if (pending) throw pending;
      writing.set(what, by);
      try {
        const result = await task();
        writing.delete(what);
        return result;
      } catch (error) {
        // after a bug of ours nobody has seen how the write ended
        if (error instanceof KvmsnapError) writing.delete(what);
        throw reason && error === pending ? leaving(reason.code, reason.why, new Map([[what, by]])) : error;
      }
    },
  };
}

type Writes = ReadonlyMap<string, Writer>;

const writersOf = (writes: Writes): string => [...new Set(writes.values())].join(' and ');

/** The failure of a run that stops now and leaves these writes to themselves. */
function leaving(code: FailureCode, why: string, writes: Writes): KvmsnapError {
  if (writes.size === 0) return new KvmsnapError(code, why);
  return new KvmsnapError(
    code,
    `${why}; stopped waiting, but ${writersOf(writes)} carries on: ${[...writes.keys()].join(', ')}`,
    { hint: 'kvmsnap list shows how it ended; until then the VM may be paused' },
  );
}
