import { setMaxListeners } from 'node:events';
import { type EndingSignal, type FailureCode, KvmsnapError, SIGNAL_FAILURES } from '../errors.ts';

/**
 * What a signal or the time limit does. A read ends at once. A write cannot be canceled, because libvirtd continues
 * without its client (hazard 8): after the first signal kvmsnap waits until libvirt has finished; a second signal and
 * the time limit stop waiting.
 */
export interface Interrupts {
  /** Aborted if the run must end now; its reason is the KvmsnapError to throw. */
  readonly stop: AbortSignal;
  /** The failure with which the run ends after the write under way is finished; null as long as there was no signal. */
  readonly pending: KvmsnapError | null;
  /**
   * A sentence about what continues without kvmsnap after a bug in the middle of a write; null if nothing was being
   * written.
   */
  readonly abandoned: string | null;
  /** The failure to end with if this was thrown; after a signal it includes the failure of the write that was finished. */
  explain(error: unknown): unknown;
  raise(signal: EndingSignal): void;
  expire(seconds: number): void;
  /**
   * Runs a write and its verification. `what` names the write and `by` the tool that continues if kvmsnap stops
   * waiting. Throws `pending` itself if nothing was begun, and a failure about this write only if kvmsnap stops
   * waiting.
   */
  protect<T>(what: string, task: () => Promise<T>, by?: Writer): Promise<T>;
  /**
   * A command of the user runs in the foreground until the returned function is called: a signal is passed on to it by `deliver`,
   * and the run ends only after it, but not for SIGINT, which is a matter of the command alone.
   */
  handOver(deliver: (signal: EndingSignal) => void): () => void;
  /**
   * Something was written that is not verified yet, or not undone: until the returned function is called, a first signal waits.
   * `what` says so to the user.
   */
  hold(what?: string): () => void;
}

/** The tool that continues a write without kvmsnap. */
export type Writer = 'libvirtd' | 'qemu-img';

/** `note` tells the user why the run does not end yet. */
export function createInterrupts(note: (line: string) => void): Interrupts {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // each process under way listens to it
  let pending: KvmsnapError | null = null;
  const writing = new Map<string, Writer>();
  const holds: string[] = [];
  let deliver: ((signal: EndingSignal) => void) | null = null;

  /** The reason why the run stops at once, without what it leaves under way. */
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
      return `${continues(writing)}. Until it has finished, the VM may be paused. Look how it ended with kvmsnap list`;
    },
    explain(error) {
      if (!pending || !(error instanceof KvmsnapError) || error.code === pending.code) return error;
      return error.prefixed(`${pending.message}; `, pending.code);
    },
    raise(signal) {
      const code = SIGNAL_FAILURES[signal];
      if (deliver) {
        if (signal !== 'SIGINT') pending = new KvmsnapError(code, `ended by ${signal}`);
        return deliver(signal);
      }
      if (writing.size + holds.length === 0 || pending) return end(code, `ended by ${signal}`);
      pending = new KvmsnapError(code, `ended by ${signal}`);
      if (writing.size === 0)
        return note(`${signal}: ${holds[0]} before kvmsnap ends; ${again(signal)} to end at once`);
      note(
        `${signal}: ${writersOf(writing) === 'libvirtd' ? 'libvirt' : writersOf(writing)} cannot cancel this. Waiting for it to finish; ${again(signal)} to stop waiting (it continues in the background)`,
      );
    },
    expire(seconds) {
      end('timed-out', `timed out after ${seconds} s`);
    },
    handOver(to) {
      deliver = to;
      return () => {
        deliver = null;
      };
    },
    hold(what = 'verifying what was done') {
      holds.push(what);
      return () => void holds.splice(holds.indexOf(what), 1);
    },
    async protect(what, task, by = 'libvirtd') {
      if (pending) throw pending;
      writing.set(what, by);
      try {
        const result = await task();
        writing.delete(what);
        return result;
      } catch (error) {
        // after a bug, it is unknown how the write ended
        if (error instanceof KvmsnapError) writing.delete(what);
        throw reason && error === pending ? leaving(reason.code, reason.why, new Map([[what, by]])) : error;
      }
    },
  };
}

type Writes = ReadonlyMap<string, Writer>;

const writersOf = (writes: Writes): string => [...new Set(writes.values())].join(' and ');

/** `libvirtd continues with the snapshot s1` */
const continues = (writes: Writes): string =>
  `${writersOf(writes)} ${new Set(writes.values()).size === 1 ? 'continues' : 'continue'} with ${[...writes.keys()].join(', ')}`;

const again = (signal: EndingSignal): string =>
  signal === 'SIGINT' ? 'press Ctrl-C again' : 'send another signal';

/** The failure of a run that stops now while these writes continue. */
function leaving(code: FailureCode, why: string, writes: Writes): KvmsnapError {
  if (writes.size === 0) return new KvmsnapError(code, why);
  return new KvmsnapError(code, `${why}; kvmsnap stopped waiting, but ${continues(writes)}`, {
    hint: 'until it has finished, the VM may be paused. Look how it ended with kvmsnap list',
  });
}
