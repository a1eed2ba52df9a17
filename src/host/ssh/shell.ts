import type { Readable, Writable } from 'node:stream';

/**
 * A shell on a host that is kept for many scripts: `sh -s` reads them from its stdin. Each script is one compound command, so that a
 * connection that is cut in its middle leaves a syntax error, and nothing of it is run. The answers stand between marks with a random
 * word, one on stdout with the exit code and one on stderr. A host is not trusted: what it answers is limited in size and in time.
 */

/** The process that leads to the shell. */
export interface ShellProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  kill(): void;
}

/** The answer to a script. */
export interface Reply {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** As in `$?`: above 128, a signal ended the command; 127: there is no such command. */
  readonly code: number;
}

export interface Limits {
  /** The most bytes of stdout. */
  readonly mostBytes: number;
  /** Seconds from the moment at which the scripts before it were answered. */
  readonly seconds: number;
}

export interface Shell {
  /**
   * Runs a script; several wait for each other, and are sent without waiting for answers. Throws ShellFailure. After a failure
   * because of the time or the size, the shell is gone.
   */
  run(script: string, limits: Limits): Promise<Reply>;
  /** Whether it can still be used. */
  readonly isOpen: boolean;
  /** Lets it end after the scripts that were sent. */
  end(): void;
}

/** Why a script has no answer. `lost`: the connection ended, and it is unknown whether the script was run. */
export class ShellFailure extends Error {
  readonly why: 'lost' | 'timed-out' | 'too-long';
  constructor(why: ShellFailure['why'], detail: string) {
    super(detail);
    this.why = why;
  }
}

interface Waiting {
  readonly limits: Limits;
  readonly mark: Buffer;
  resolve(reply: Reply): void;
  reject(error: ShellFailure): void;
}

/** The most bytes of messages: of one script, and of what profiles and banners print before the first answer. */
const MOST_TALK = 1024 * 1024;

/** How messages of OpenSSH's client begin that tell why a connection ended. */
const OF_SSH =
  /^(ssh|client_loop|mux_client_\w+|packet_\w+|kex_\w+|Connection|Shared connection|Received disconnect|Disconnected|Timeout)\b/;

/** `nonce`: a random word. What was printed before the first answer is a part of it. */
export function openShell(child: ShellProcess, nonce: string): Shell {
  const waiting: Waiting[] = [];
  const out = collector(child.stdout);
  const err = collector(child.stderr);
  let count = 0;
  let failure: ShellFailure | null = null;
  let hasAnswered = false;
  let timer: NodeJS.Timeout | undefined;

  const fail = (why: ShellFailure['why'], detail: string) => {
    if (failure) return;
    failure = new ShellFailure(why, detail);
    clearTimeout(timer);
    child.kill();
    const [head, ...others] = waiting.splice(0);
    head?.reject(failure);
    // these were not the cause
    for (const each of others) each.reject(new ShellFailure('lost', detail));
  };
  const startTimer = () => {
    clearTimeout(timer);
    const [head] = waiting;
    if (!head) return;
    const { seconds } = head.limits;
    timer = setTimeout(() => fail('timed-out', `no answer within ${seconds} s`), seconds * 1000);
    timer.unref();
  };
  /** The answer to a script, if it is complete; what is too long ends the shell. */
  const answerTo = ({ mark, limits }: Waiting): Reply | null => {
    const [answer, said] = [out.until(mark), err.until(mark)];
    if (!answer && out.bytes > limits.mostBytes + MOST_TALK)
      fail('too-long', `more than ${Math.floor(limits.mostBytes / 1024 / 1024)} MiB of output`);
    if (!said && err.bytes > MOST_TALK) fail('too-long', 'too many messages');
    const end = answer && out.lineAfter(answer, mark);
    if (!answer || end === null || !said || err.lineAfter(said, mark) === null) return null;
    return {
      stdout: out.take(answer.at, answer.at + mark.length + end.length + 1),
      stderr: err.take(said.at, said.at + mark.length + 1),
      code: /^ \d{1,3}$/.test(end) ? Number(end) : 255,
    };
  };
  const look = () => {
    for (let head = waiting[0]; head && !failure; head = waiting[0]) {
      const reply = answerTo(head);
      if (!reply) return;
      waiting.shift();
      hasAnswered = true;
      startTimer();
      head.resolve(reply);
    }
    // nobody has asked for it
    if (out.bytes + err.bytes > MOST_TALK) fail('too-long', 'output without a question');
  };
  child.stdout.on('data', look);
  child.stderr.on('data', look);
  child.stdin.on('error', () => undefined); // the end of the process tells it
  child.ended.then(() => {
    const said = lastLine(err.text());
    // after the first answer, all other lines are of commands that were cut off
    const isReason = said !== '' && (!hasAnswered || OF_SSH.test(said));
    fail('lost', isReason ? said : 'the connection was closed');
  });

  return {
    get isOpen() {
      return failure === null;
    },
    run(script, limits) {
      if (failure) return Promise.reject(new ShellFailure('lost', failure.message));
      const mark = `@@${nonce}.${count++}@`;
      return new Promise((resolve, reject) => {
        waiting.push({ limits, mark: Buffer.from(mark), resolve, reject });
        if (waiting.length === 1) startTimer();
        child.stdin.write(
          `{ {\n${script}\n} </dev/null; printf '${mark} %d\\n' "$?"; printf '${mark}\\n' >&2; }\n`,
        );
      });
    },
    end() {
      child.stdin.end();
    },
  };
}

const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1)?.trim() ?? '';

interface Found {
  readonly at: number;
}

/** What a stream has printed and nobody has taken. */
function collector(stream: Readable) {
  let room = Buffer.alloc(0);
  let bytes = 0;
  /** Before here, no mark begins. */
  let searched = 0;
  stream.on('data', (chunk: Buffer) => {
    if (bytes + chunk.length > room.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * room.length, bytes + chunk.length));
      room.copy(larger, 0, 0, bytes);
      room = larger;
    }
    chunk.copy(room, bytes);
    bytes += chunk.length;
  });
  stream.on('error', () => undefined);
  const all = () => room.subarray(0, bytes);
  return {
    get bytes() {
      return bytes;
    },
    text: () => all().toString('utf8'),
    until(mark: Buffer): Found | null {
      const at = all().indexOf(mark, searched);
      if (at < 0) searched = Math.max(searched, bytes - mark.length);
      return at < 0 ? null : { at };
    },
    /** The rest of the line after the mark; null if it is not complete yet. */
    lineAfter({ at }: Found, mark: Buffer): string | null {
      const end = all().indexOf('\n', at + mark.length);
      return end < 0 ? null : all().toString('latin1', at + mark.length, end);
    },
    /** The bytes before `at`; all before `next` are forgotten. */
    take(at: number, next: number): Buffer {
      const taken = Buffer.from(room.subarray(0, at));
      const rest = Buffer.from(room.subarray(next, bytes));
      room = rest;
      bytes = rest.length;
      searched = 0;
      return taken;
    },
  };
}
