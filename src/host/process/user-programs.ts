import { accessSync, closeSync, constants } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { execa } from 'execa';
import { KvmsnapError } from '../../errors.ts';
import { type TrustProblem, trustProblem } from '../trusted-file.ts';
import { killGroup } from './kill-group.ts';
import { openNamelessFile } from './nameless-file.ts';

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

/** How a program has ended that was run by itself, and what it printed. */
export interface ProgramEnd {
  /** Null if a signal ended it, or if it was not started. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it was ended, or could not be started (an error code of the system); null: it has ended by itself. */
  readonly why: 'timed out' | 'stopped' | (string & {}) | null;
  /** What it printed on stdout and stderr. */
  readonly output: string;
}

/** The most bytes of its output that are kept. */
const MOST_PRINTED = 64 * 1024;

/** How long a program may take to end after SIGTERM. */
const GRACE_MILLISECONDS = 5000;

/**
 * Runs a program without arguments, shell and terminal, in a process group of its own, so that Ctrl-C does not reach it. It is ended
 * after `seconds`, and if `stop` is aborted. A process that it leaves in the background is not waited for.
 */
async function runProgram(
  path: string,
  environment: Readonly<Record<string, string>>,
  { seconds, stop }: { readonly seconds: number; readonly stop: AbortSignal | null },
): Promise<ProgramEnd> {
  const said = openNamelessFile(MOST_PRINTED);
  const child = execa(path, [], {
    cwd: '/',
    env: environment,
    stdin: 'ignore',
    // a file descriptor, which execa accepts although its types do not include it
    stdout: said.file as unknown as 'inherit',
    stderr: said.file as unknown as 'inherit',
    ...{ buffer: false, detached: true, cleanup: false, reject: false },
  });
  let why: ProgramEnd['why'] = null;
  const timers: NodeJS.Timeout[] = [];
  const end = (because: string) => {
    why ??= because;
    killGroup(child.pid, 'SIGTERM');
    timers.push(setTimeout(() => killGroup(child.pid), GRACE_MILLISECONDS));
  };
  const onStop = () => end('stopped');
  timers.push(setTimeout(end, seconds * 1000, 'timed out'));
  if (stop?.aborted) onStop();
  stop?.addEventListener('abort', onStop, { once: true });
  const ended = await child;
  stop?.removeEventListener('abort', onStop);
  for (const timer of timers) clearTimeout(timer);
  // what a program leaves behind that had to be ended
  if (why !== null) killGroup(child.pid);
  const output = said.text();
  closeSync(said.file);
  const isStarted = ended.exitCode !== undefined || ended.signal !== undefined;
  return {
    exitCode: ended.exitCode ?? null,
    signal: (ended.signal as NodeJS.Signals | undefined) ?? null,
    why: isStarted ? why : (ended.code ?? 'unknown error'),
    output,
  };
}

/** Programs of the user that kvmsnap runs by itself, such as those of `--before` and `--after`. */
export interface UserPrograms {
  /** The absolute path; `problem`: why the program must not be run. Throws an error of the system if it cannot be run. */
  look(path: string): Promise<{ readonly path: string; readonly problem: TrustProblem }>;
  /** Runs it without arguments, terminal and shell, in a process group of its own, for at most `seconds`. Never throws. */
  run(
    path: string,
    environment: Readonly<Record<string, string>>,
    limit: { readonly seconds: number; readonly stop: AbortSignal | null },
  ): Promise<ProgramEnd>;
}

/** `uid`: the number of the user. */
export const createUserPrograms = (uid: number): UserPrograms => ({
  async look(given) {
    const path = resolve(given);
    const real = await realpath(path);
    if (!(await stat(real)).isFile()) throw new Error('it is not a file');
    accessSync(real, constants.X_OK);
    return { path, problem: await trustProblem([real, dirname(real), dirname(path)], uid) };
  },
  run: runProgram,
});
