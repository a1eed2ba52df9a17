import { type ChildProcess, spawn } from 'node:child_process';
import type { ShellProcess } from './shell.ts';

/** Runs OpenSSH's client: in a process group of its own, so that Ctrl-C in the terminal does not reach it. */

export interface SshPrograms {
  readonly environment: NodeJS.ProcessEnv;
  /** The number of this user. */
  readonly uid: number;
  /** Runs `ssh` to its end, without stdin. Its messages go to a file: a master in the background would keep a pipe open. */
  run(args: readonly string[], messages: number | 'ignore'): Promise<number | null>;
  /** Starts `ssh`, or `sh` for a shell on this host. */
  start(program: 'ssh' | 'sh', args: readonly string[]): ShellProcess;
}

/** Variables that point virsh to another libvirt, or make it print debug text; ssh_config may send any variable to the host. */
const NOT_SENT = /^(LIBVIRT_|VIRSH_)/;

const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_SENT.test(name)));

/** The real programs. A program that cannot be started ends with 127. */
export const sshPrograms = (): SshPrograms => ({
  environment: process.env,
  uid: process.getuid?.() ?? 0,
  run: (args, messages) =>
    new Promise((resolve) => {
      const child = spawn('ssh', args, {
        stdio: ['ignore', 'ignore', messages],
        detached: true,
        env: environment(),
      });
      child.on('error', () => resolve(127));
      child.on('exit', (code) => resolve(code));
    }),
  start(program, args) {
    const child = spawn(program, args, { stdio: 'pipe', detached: true, env: environment() });
    return {
      stdin: child.stdin,
      stdout: child.stdout,
      stderr: child.stderr,
      ended: new Promise((resolve) => {
        child.on('error', () => resolve());
        child.on('close', () => resolve());
      }),
      kill: () => killNow(child),
    };
  },
});

function killNow(child: ChildProcess): void {
  child.stdin?.destroy();
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.kill('SIGKILL');
}
