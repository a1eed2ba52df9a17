import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { execa } from 'execa';
import pLimit from 'p-limit';
import { KvmsnapError } from '../errors.ts';
import { commandLine } from '../model/quote.ts';

/** Runs virsh, qemu-img and stat: no shell, no terminal, one environment, one way to stop. */

export type Tool = 'virsh' | 'qemu-img' | 'stat';

export interface Executed {
  readonly stdout: string;
  readonly stderr: string;
  /** Null when a signal ended it, which is no answer of libvirt: the job may go on in the daemon. */
  readonly exitCode: number | null;
}

export interface Exec {
  /** Runs a command that changes nothing. Killed, and `timed-out` thrown, after the read limit; `refused` when it babbles. */
  read(tool: Tool, args: readonly string[]): Promise<Executed>;
  /** Runs a command that changes something. It is never killed: libvirtd would carry on without telling (hazard 8). */
  write(tool: Tool, args: readonly string[]): Promise<Executed>;
  /**
   * The same of a command that must come to its end though we are killed: a pipe would break with us, and the next word
   * into it kill the tool (SIGPIPE). So what it says goes to files, which are read when it has ended.
   */
  writeToTheEnd(tool: Tool, args: readonly string[]): Promise<Executed>;
}

export interface ExecOptions {
  /** Aborted when the run is to end now; its reason is the KvmsnapError to throw. */
  readonly stop: AbortSignal;
  /** Seconds that a read may take. libvirtd itself waits 30 s for a VM's lock before it says busy. */
  readonly readLimitSeconds: number;
  /** More than any answer has; beyond it, a read fails. */
  readonly mostBytes: number;
  /** Told each command line, ready to paste, before it runs. */
  readonly onRun: (line: string) => void;
}

/** Names of variables that make virsh print debug text among its data. */
const NOISY = /^(VIRSH_DEBUG|VIRSH_LOG_FILE|LIBVIRT_DEBUG|LIBVIRT_LOG_.*)$/;

/** English and UTF-8: `LC_ALL=C` mangles names in virsh's tables, and LANGUAGE would translate them (hazard 20). */
function toolEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !NOISY.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C.UTF-8', LANGUAGE: '' };
}

/** Ours, unless it is gone or closed to us: then nothing could be started in it. */
function workingDirectory(): string {
  try {
    const directory = process.cwd();
    accessSync(directory, constants.X_OK);
    return directory;
  } catch {
    return '/';
  }
}

/** The real Exec. */
export function createExec({ stop, readLimitSeconds, mostBytes, onRun }: ExecOptions): Exec {
  const env = toolEnvironment();
  const limitReads = pLimit(READS_AT_ONCE);
  const cwd = workingDirectory();

  const start = (tool: Tool, args: readonly string[], stdout: Output, stderr: Output) => {
    stop.throwIfAborted();
    onRun(commandLine(tool, args));
    // A process group of its own: Ctrl-C in the terminal must not reach virsh in the middle of a write.
    return execa(tool, args, {
      cwd,
      env,
      extendEnv: false,
      stdin: 'ignore',
      stdout: stdout as 'pipe',
      stderr: stderr as 'pipe',
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
    });
  };

  const startPiped = (tool: Tool, args: readonly string[], kind: keyof Exec) => {
    const child = start(tool, args, 'pipe', 'pipe');
    const tooMuch = () => {
      if (kind === 'read') killGroup(child.pid);
    };
    return {
      child,
      stdout: collect(child.stdout, mostBytes, tooMuch),
      stderr: collect(child.stderr, mostBytes, tooMuch),
    };
  };

  const unlessStopped = async <T>(ended: Promise<T>): Promise<T> => {
    const stopped = new Promise<never>((_, reject) => {
      stop.addEventListener('abort', () => reject(stop.reason), { once: true });
    });
    return Promise.race([ended, stopped]);
  };

  const finish = (
    tool: Tool,
    { stdout, stderr }: Started,
    result: Awaited<ReturnType<typeof start>>,
  ): Executed => {
    if (result.failed && result.exitCode === undefined && result.signal === undefined)
      throw launchFailure(tool, result);
    return { stdout: stdout.text(), stderr: stderr.text(), exitCode: result.exitCode ?? null };
  };
  type Started = Record<'stdout' | 'stderr', { readonly text: () => string }>;

  const readNow = async (tool: Tool, args: readonly string[]): Promise<Executed> => {
    const started = startPiped(tool, args, 'read');
    const { child } = started;
    let late = false;
    const kill = () => killGroup(child.pid);
    const limit = setTimeout(() => {
      late = true;
      kill();
    }, readLimitSeconds * 1000);
    stop.addEventListener('abort', kill);
    const result = await child;
    stop.removeEventListener('abort', kill);
    clearTimeout(limit);
    stop.throwIfAborted();
    if (late && result.exitCode === undefined) throw noAnswer(tool, readLimitSeconds);
    if (started.stdout.isTooLong() || started.stderr.isTooLong()) throw tooLong(tool, mostBytes);
    return finish(tool, started, result);
  };

  return {
    read: (tool, args) => limitReads(() => readNow(tool, args)),

    async write(tool, args) {
      const started = startPiped(tool, args, 'write');
      return finish(tool, started, await unlessStopped(started.child));
    },

    async writeToTheEnd(tool, args) {
      const [stdout, stderr] = [openNamelessFile(mostBytes), openNamelessFile(mostBytes)];
      try {
        const result = await unlessStopped(start(tool, args, stdout.file, stderr.file));
        return finish(tool, { stdout, stderr }, result);
      } finally {
        closeSync(stdout.file);
        closeSync(stderr.file);
      }
    },
  };
}

/** Ends a process and all that it has started: the ssh of a virsh would hold our pipe, and us, for as long as it hangs. */
function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}

/** A file without a name, gone with those who have it open, and what is in it, up to so many bytes. */
function openNamelessFile(most: number): { readonly file: number; readonly text: () => string } {
  const file = createNamelessFile();
  const text = () => {
    const bytes = Buffer.alloc(Math.min(fstatSync(file).size, most));
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
  };
  return { file, text };
}

function createNamelessFile(): number {
  try {
    const directory = mkdtempSync(join(tmpdir(), 'kvmsnap-'));
    try {
      return openSync(join(directory, 'said'), 'wx+', 0o600);
    } finally {
      rmSync(directory, { recursive: true });
    }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new KvmsnapError('check', `cannot write a file in ${tmpdir()}: ${detail}`, {
      hint: 'name a directory that you can write to in TMPDIR',
    });
  }
}

/** A descriptor of ours will do too, which execa's types do not know. */
type Output = 'pipe' | number;

/** Chunks from which on an output counts as long. */
const LONG = 8;

/** Milliseconds between two looks at a long output. A pipe holds 64 KiB, which virsh takes longer to fill. */
const REST = 4;

interface Collected {
  /** All that came, within the limit. */
  readonly text: () => string;
  readonly isTooLong: () => boolean;
}

/**
 * Gathers a stream as text. virsh writes a few KB at a time, and to be woken for each of them costs: a long output is
 * left to gather in the pipe for a while. execa's own way takes twice the CPU.
 */
function collect(stream: Readable | null, most: number, tooMuch: () => void): Collected {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    // of a write, all is read, so that it comes to its end
    if (bytes > most) return tooMuch();
    if (chunks.push(chunk) < LONG) return;
    stream.pause();
    setTimeout(() => stream.resume(), REST);
  });
  return { text: () => Buffer.concat(chunks).toString('utf8'), isTooLong: () => bytes > most };
}

/** More reads than this at once only make each other slower: a host may have hundreds of disks to look at. */
const READS_AT_ONCE = 8;

function noAnswer(tool: Tool, seconds: number): KvmsnapError {
  return new KvmsnapError('timed-out', `${tool} gave no answer within ${seconds} s`, {
    hint:
      tool === 'virsh'
        ? 'libvirtd hangs or is overloaded; look at it with: systemctl status libvirtd'
        : undefined,
  });
}

function tooLong(tool: Tool, most: number): KvmsnapError {
  return new KvmsnapError(
    'refused',
    `${tool} printed more than ${Math.floor(most / 1024 / 1024)} MiB, which is no answer`,
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
