import { accessSync, closeSync, constants } from 'node:fs';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import pLimit from 'p-limit';
import { KvmsnapError } from '../errors.ts';
import { commandLine } from '../model/quote.ts';
import { openNamelessFile } from './nameless-file.ts';

/**
 * Runs virsh, qemu-img and stat, always without a shell or terminal, with the same environment and the same way to
 * stop.
 */

export type Tool = 'virsh' | 'qemu-img' | 'stat';

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

/** How a command of the user has ended. */
export interface CommandEnd {
  /** Null if a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs a command of the user in the foreground: with kvmsnap's own terminal, streams, environment and process group, so that
 * Ctrl-C reaches it. `started` receives what sends it another signal. Throws `refused` if it cannot be started.
 */
export type RunForeground = (
  words: readonly [string, ...string[]],
  environment: Readonly<Record<string, string>>,
  started: (kill: (signal: NodeJS.Signals) => void) => void,
) => Promise<CommandEnd>;

/** The real RunForeground. */
export const runForeground: RunForeground = async ([program, ...args], environment, started) => {
  const child = execa(program, args, { env: environment, stdio: 'inherit', cleanup: false, reject: false });
  started((signal) => void child.kill(signal));
  const ended = await child;
  if (ended.exitCode === undefined && ended.signal === undefined)
    throw new KvmsnapError('refused', `cannot start ${program}: ${ended.code ?? 'unknown error'}`);
  return { exitCode: ended.exitCode ?? null, signal: ended.signal ?? null };
};

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
  };
}

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
 * Ends a process and all that it has started: otherwise a hanging ssh of virsh would keep the pipe open, and kvmsnap
 * waiting.
 */
function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}

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

function noAnswer(tool: Tool, seconds: number): KvmsnapError {
  return new KvmsnapError('timed-out', `${tool} did not answer within ${seconds} s`, {
    ...(tool === 'virsh'
      ? { hint: 'libvirtd hangs or is overloaded; look at its status', command: 'systemctl status libvirtd' }
      : {}),
  });
}

function tooLong(tool: Tool, most: number): KvmsnapError {
  return new KvmsnapError(
    'refused',
    `${tool} printed more than ${Math.floor(most / 1024 / 1024)} MiB of output, so kvmsnap stopped reading`,
  );
}

const PACKAGES: Record<Tool, string> = {
  virsh: 'libvirt-clients (Debian, Ubuntu) or libvirt-client (Fedora, RHEL, SUSE)',
  'qemu-img': 'qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL, SUSE)',
  stat: 'coreutils',
};

function launchFailure(
  tool: Tool,
  result: { readonly code?: string | undefined; readonly cause?: unknown },
): Error {
  if (result.code !== 'ENOENT' && result.code !== 'EACCES')
    return new Error(`cannot start ${tool}`, { cause: result.cause });
  return new KvmsnapError('tool-missing', `${tool} is not installed, or not in PATH`, {
    hint: `install the package ${PACKAGES[tool]}`,
  });
}
