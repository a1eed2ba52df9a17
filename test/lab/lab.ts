// What every part of the lab needs: the scratch directory, the real tools, patience.
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { bySession } from './session.ts';

const home = process.env['KVMSNAP_LAB'];
if (!home) {
  throw new Error('These tests need the lab. Run: npm run test:lab');
}

/** The directory for images and all else; empty at the start of a lab, gone with it. */
export const scratch: string = home;

/** Whether this lab is `qemu:///system`, run by root; otherwise it is `qemu:///session`. */
export const isSystemLab: boolean = process.getuid?.() === 0;

/** What a tool answered. */
export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ToolOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Runs a real tool and hands back what it said, whatever the exit code; 128+N after a signal N. */
export function tryTool(file: string, args: readonly string[], options: ToolOptions = {}): ToolResult {
  const result = spawnSync(file, args, {
    encoding: 'utf8',
    input: options.input ?? '',
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
    maxBuffer: 256 * 1024 * 1024,
    // losetup, mount and libvirtd are not on every user's path
    env: {
      ...process.env,
      LC_ALL: 'C.UTF-8',
      LANGUAGE: '',
      PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`,
    },
  });
  if (result.error) throw new Error(`${file} ${args.join(' ')}: ${result.error.message}`);
  return { code: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

/** Runs a real tool and hands back its stdout; throws with its stderr when it fails. */
export function tool(file: string, args: readonly string[], options: ToolOptions = {}): string {
  const { code, stdout, stderr } = tryTool(file, args, options);
  if (code !== 0) throw new Error(`${file} ${args.join(' ')}: exit ${code}\n${stderr}${stdout}`);
  return stdout;
}

/** Raw virsh; throws with its stderr when it fails. */
export function virsh(...args: string[]): string {
  const { code, stdout, stderr } = tryVirsh(...args);
  if (code !== 0) throw new Error(`virsh ${args.join(' ')}: exit ${code}\n${stderr}${stdout}`);
  return stdout;
}

/** Raw virsh, whatever it answers. */
export function tryVirsh(...args: string[]): ToolResult {
  return bySession(args) ?? tryTool('virsh', args);
}

/**
 * Sends a signal to one process. Throws unless it has a number, and that of one process: 0 and less are whole groups of
 * processes, among them that of the test run, and 1 ends the lab.
 */
export function sendSignal(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined || !(pid > 1)) throw new Error(`${signal}: there is no such process (${pid})`);
  process.kill(pid, signal);
}

export interface WaitOptions {
  /** What is waited for, to be named when it does not come. */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/** Asks again and again till the answer is truthy, and hands it back; throws after the time limit. */
export async function waitFor<T>(ask: () => T | Promise<T>, options: WaitOptions): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const asked = performance.now();
    const answer = await ask();
    if (answer) return answer;
    const now = performance.now();
    if (now > deadline) throw new Error(`${options.what}: not within ${timeoutMs} ms`);
    // what takes long to ask is not to take all of the processor from what is waited for
    await sleep(options.intervalMs ?? Math.max(20, 2 * (now - asked)));
  }
}
