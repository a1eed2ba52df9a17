// The built kvmsnap, run as a user or a script would run it.
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { scratch } from './lab.ts';

/** The command as it is installed with npm. */
export const kvmsnapPath: string = fileURLToPath(new URL('../../bin/kvmsnap.cjs', import.meta.url));

/** The Node.js that runs kvmsnap: $KVMSNAP_NODE, or that of the tests. */
export const nodePath: string = process.env['KVMSNAP_NODE'] || process.execPath;

/** The words that start kvmsnap: $KVMSNAP_PROGRAM, an installed package or the single file; or the built one. */
export const kvmsnapWords: readonly [string, ...string[]] = process.env['KVMSNAP_PROGRAM']
  ? [process.env['KVMSNAP_PROGRAM']]
  : [nodePath, kvmsnapPath];

/** The same words for a line of a shell. */
export const kvmsnapInShell: string = kvmsnapWords.map((word) => `'${word}'`).join(' ');

type Environment = Readonly<Record<string, string | undefined>>;

export interface CliOptions {
  /** Added to the clean environment; undefined takes a variable out. */
  readonly env?: Environment;
  /** `env` is all that there is. */
  readonly replaceEnv?: boolean;
  /** Fed to stdin; without it, stdin is /dev/null. */
  readonly stdin?: string;
  /** SIGKILL and an error after that; 240 s unless told, for a loaded machine. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Another Node.js than this one. */
  readonly node?: string;
}

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A kvmsnap under way. */
export interface RunningCli {
  readonly pid: number;
  /** What has come so far. */
  readonly stdout: string;
  readonly stderr: string;
  readonly done: Promise<CliResult>;
  kill(signal: NodeJS.Signals): void;
  /** Closes the reading end of its stdout, as `head` does. */
  closeStdout(): void;
}

const KEPT = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'TMPDIR', 'KVMSNAP_LAB', 'LIBVIRT_AUTOSTART'];

/** The environment of a plain terminal session: nothing that the test runner, npm or a CI has set. */
export function cleanEnvironment(extra: Environment = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => KEPT.includes(name) || name.startsWith('XDG_'));
  return defined({ ...Object.fromEntries(kept), LANG: 'C.UTF-8', ...extra });
}

function defined(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])),
  );
}

/** Another user cannot write to the home of this one. */
function homeOf(uid: number, gid: number): string {
  const home = join(scratch, `home-${uid}`);
  mkdirSync(home, { recursive: true });
  chownSync(home, uid, gid);
  return home;
}

function environmentFor(options: CliOptions): Record<string, string> {
  if (options.replaceEnv) return defined(options.env ?? {});
  const home = options.uid === undefined ? {} : { HOME: homeOf(options.uid, options.gid ?? options.uid) };
  return cleanEnvironment({ ...home, ...options.env });
}

function collect(child: ChildProcess, timeoutMs: number, what: string) {
  const output = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const done = new Promise<CliResult>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${what}: not done within ${timeoutMs} ms\n${output.stdout}${output.stderr}`));
    }, timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...output });
    });
  });
  done.catch(() => {}); // whoever awaits it gets it; nobody has to
  return { output, done };
}

/** Starts the built kvmsnap and does not wait. */
export function spawnKvmsnap(args: readonly string[], options: CliOptions = {}): RunningCli {
  const { cwd, uid, gid, stdin } = options;
  const [file, ...first] = options.node === undefined ? kvmsnapWords : [options.node, kvmsnapPath];
  const child = spawn(file, [...first, ...args], {
    env: environmentFor(options),
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  const { output, done } = collect(child, options.timeoutMs ?? 240_000, `kvmsnap ${args.join(' ')}`);
  child.stdin?.on('error', () => {}); // it need not read
  child.stdin?.end(stdin);
  return {
    pid: child.pid ?? -1,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    done,
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout?.destroy(),
  };
}

/** Runs the built kvmsnap to its end. */
export function kvmsnap(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return spawnKvmsnap(args, options).done;
}
