import { accessSync, closeSync, constants } from 'node:fs';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import pLimit from 'p-limit';
import { commandLine } from '../../model/quote.ts';
import { launchFailure, noAnswer, tooLong } from './exec-failures.ts';
import { killGroup } from './kill-group.ts';
import { openNamelessFile } from './nameless-file.ts';

/**
 * Runs virsh, qemu-img, qemu-nbd and stat, always without a shell or terminal, with the same environment and the same way to
 * stop.
 */

export type Tool = 'virsh' | 'qemu-img' | 'qemu-nbd' | 'stat' | 'logger';

export interface Executed {
  readonly stdout: string;
  readonly stderr: string;
  /** Null if a signal ended it; that is not an answer of libvirt, and the job may continue in the daemon. */
  readonly exitCode: number | null;
}

export interface Exec {
  /**
   * Runs a command that changes nothing. After the read limit it is killed and `timed-out` is thrown; `refused` if its
   * output exceeds the limit.
   */
  read(tool: Tool, args: readonly string[]): Promise<Executed>;
  /** Runs a command that changes something. It is never killed, because libvirtd would continue unobserved (hazard 8). */
  write(tool: Tool, args: readonly string[]): Promise<Executed>;
  /**
   * The same for a command that must finish even if kvmsnap is killed. A pipe to kvmsnap would break then, and SIGPIPE
   * would kill the tool at its next write. So its output goes to files, which are read after it has ended.
   */
  writeToTheEnd(tool: Tool, args: readonly string[]): Promise<Executed>;
  /**
   * Runs a command that sets right what this run has begun, even if the run is being stopped; then it is waited for only a few seconds.
   * Its result does not matter.
   */
  setRight(tool: Tool, args: readonly string[]): Promise<void>;
  /**
   * Starts a command that changes nothing of a VM, but may take hours, such as a copy. It is ended with the run, and then `ended`
   * throws the reason.
   */
  start(tool: Tool, args: readonly string[], input?: string): Running;
}

/** A command under way. */
export interface Running {
  readonly ended: Promise<Executed>;
  /** Sends it SIGTERM. */
  end(): void;
  /** What it has printed so far on stdout. */
  said(): string;
  /** The same of stderr. */
  errors(): string;
}

export interface ExecOptions {
  /** Aborted if the run must end now; its reason is the KvmsnapError to throw. */
  readonly stop: AbortSignal;
  /** Seconds that a read may take. libvirtd itself waits 30 s for a VM's lock before it reports that the VM is busy. */
  readonly readLimitSeconds: number;
  /** The most bytes of output; a read with more fails. */
  readonly mostBytes: number;
  /** Called with each command line, ready to paste, before it runs. */
  readonly onRun: (line: string) => void;
}

/** Variables that make virsh print debug text within its data. */
const NOISY = /^(VIRSH_DEBUG|VIRSH_LOG_FILE|LIBVIRT_DEBUG|LIBVIRT_LOG_.*)$/;

/**
 * The environment of the tools: English and UTF-8, because `LC_ALL=C` mangles names in virsh's tables and LANGUAGE
 * would translate the output (hazard 20).
 */
function toolEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !NOISY.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C.UTF-8', LANGUAGE: '' };
}

/** The working directory; another one if it is gone or not accessible, because no process could be started in it. */
function workingDirectory(): string {
  try {
    const directory = process.cwd();
    accessSync(directory, constants.X_OK);
    return directory;
  } catch {
    return '/';
  }
}

/** Seconds after which such a program is not waited for any longer. */
const FORGET_SECONDS = 2;

/** Runs a program whose result does not matter, even if it does not exist. Ctrl-C does not reach it. */
export async function runAndForget(program: string, args: readonly string[]): Promise<void> {
  await execa(program, args, {
    stdio: 'ignore',
    detached: true,
    cleanup: false,
    reject: false,
    timeout: FORGET_SECONDS * 1000,
  }).catch(() => undefined);
}

/** The real Exec. */
export function createExec({ stop, readLimitSeconds, mostBytes, onRun }: ExecOptions): Exec {
  const limitReads = pLimit(READS_AT_ONCE);
  // a process group of its own, because Ctrl-C in the terminal must not reach virsh in the middle of a write
  const common = {
    cwd: workingDirectory(),
    env: toolEnvironment(),
    extendEnv: false,
    stdin: 'ignore',
    detached: true,
    cleanup: false,
    reject: false,
  } as const;

  const begin = (tool: Tool, args: readonly string[]) => {
    stop.throwIfAborted();
    onRun(commandLine(tool, args));
  };

  const readNow = async (tool: Tool, args: readonly string[]): Promise<Executed> => {
    begin(tool, args);
    const child = execa(tool, args, {
      ...common,
      encoding: 'buffer',
      stripFinalNewline: false,
      maxBuffer: mostBytes,
      timeout: readLimitSeconds * 1000,
      cancelSignal: stop,
      killSignal: 'SIGKILL',
    });
    // execa would end only the tool; processes that it has started, such as ssh, would keep the other end of the pipe
    // open
    child.once('exit', (code) => code !== 0 && killGroup(child.pid));
    const result = await child;
    stop.throwIfAborted();
    if (result.timedOut) throw noAnswer(tool, readLimitSeconds);
    if (result.isMaxBuffer) throw tooLong(tool, mostBytes);
    return executed(tool, result, { stdout: textOf(result.stdout), stderr: textOf(result.stderr) });
  };

  const unlessStopped = async <T>(ended: Promise<T>): Promise<T> => {
    const stopped = new Promise<never>((_, reject) => {
      stop.addEventListener('abort', () => reject(stop.reason), { once: true });
    });
    return Promise.race([ended, stopped]);
  };

  return {
    read: (tool, args) => limitReads(() => readNow(tool, args)),

    async write(tool, args) {
      begin(tool, args);
      const child = execa(tool, args, { ...common, buffer: false });
      const [stdout, stderr] = [beginningOf(child.stdout, mostBytes), beginningOf(child.stderr, mostBytes)];
      const result = await unlessStopped(child);
      return executed(tool, result, { stdout: stdout(), stderr: stderr() });
    },

    async writeToTheEnd(tool, args) {
      const [stdout, stderr] = [openNamelessFile(mostBytes), openNamelessFile(mostBytes)];
      try {
        begin(tool, args);
        const child = execa(tool, args, {
          ...common,
          buffer: false,
          // a file descriptor, which execa accepts although its types do not include it
          stdout: stdout.file as unknown as 'inherit',
          stderr: stderr.file as unknown as 'inherit',
        });
        const result = await unlessStopped(child);
        return executed(tool, result, { stdout: stdout.text(), stderr: stderr.text() });
      } finally {
        closeSync(stdout.file);
        closeSync(stderr.file);
      }
    },

    start(tool, args, input) {
      begin(tool, args);
      const child = execa(tool, args, {
        ...common,
        ...(input === undefined ? {} : { stdin: 'pipe' }),
        buffer: false,
      });
      child.stdin?.on('error', () => undefined).write(input ?? ''); // it may have ended by then
      const [stdout, stderr] = [beginningOf(child.stdout, mostBytes), beginningOf(child.stderr, mostBytes)];
      const end = () => void child.kill('SIGTERM');
      stop.addEventListener('abort', end, { once: true });
      const finish = async () => {
        const result = await child;
        stop.removeEventListener('abort', end);
        stop.throwIfAborted();
        return executed(tool, result, { stdout: stdout(), stderr: stderr() });
      };
      const ended = finish();
      ended.catch(() => undefined); // a caller that ends it does not wait for it
      return { ended, end, said: stdout, errors: stderr };
    },

    async setRight(tool, args) {
      onRun(commandLine(tool, args));
      const child = execa(tool, args, { ...common, stdout: 'ignore', stderr: 'ignore' });
      const stopped = new Promise<void>((resolve) => {
        const leave = () => void setTimeout(resolve, LAST_SECONDS * 1000).unref();
        if (stop.aborted) leave();
        else stop.addEventListener('abort', leave, { once: true });
      });
      await Promise.race([child, stopped]);
    },
  };
}

/** Seconds to wait for the command of a run that is being stopped. */
const LAST_SECONDS = 5;

interface Ended {
  readonly failed: boolean;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly code?: string | undefined;
  readonly cause?: unknown;
}

/** The output of a tool and how it ended; throws if it could not be started. */
function executed(tool: Tool, ended: Ended, said: Pick<Executed, 'stdout' | 'stderr'>): Executed {
  if (ended.failed && ended.exitCode === undefined && ended.signal === undefined)
    throw launchFailure(tool, ended);
  return { ...said, exitCode: ended.exitCode ?? null };
}

const textOf = ({ buffer, byteOffset, byteLength }: Uint8Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('utf8');

/**
 * The first bytes of a stream as text. The whole stream is read and the rest is dropped, so that a write finishes
 * however much it prints; execa's maxBuffer would kill it.
 */
function beginningOf(stream: Readable, most: number): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    if (bytes < most) chunks.push(chunk);
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8', 0, most);
}

/** The most reads in parallel: more would only slow each other down, and a host may have hundreds of disks. */
const READS_AT_ONCE = 8;
