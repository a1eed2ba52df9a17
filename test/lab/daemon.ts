// The lab's own libvirtd: to be stopped, killed and started again.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { isSystemLab, scratch, tool, tryTool, waitFor } from './lab.ts';

/** A process as /proc shows it. */
export interface Process {
  readonly pid: number;
  readonly args: readonly string[];
}

/** The processes that this user may look at: in a system lab, those of the lab alone. */
export function processes(): Process[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').slice(0, -1);
      return args.length > 0 ? [{ pid: Number(entry), args }] : [];
    } catch {
      return []; // gone meanwhile
    }
  });
}

function belongsToLab(pid: number): boolean {
  if (isSystemLab) return true;
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`=${scratch.replace(/\/[^/]*$/, '')}/`);
  } catch {
    return false;
  }
}

function isLibvirtd(pid: number): boolean {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`)) === 'libvirtd';
  } catch {
    return false;
  }
}

/** The process of the lab's libvirtd; undefined while there is none. */
export function libvirtdPid(): number | undefined {
  return processes().find(({ pid }) => isLibvirtd(pid) && belongsToLab(pid))?.pid;
}

/** Sends a signal to libvirtd: SIGSTOP hangs it, SIGCONT mends that. */
export function signalLibvirtd(signal: NodeJS.Signals): void {
  const pid = libvirtdPid();
  if (pid === undefined) throw new Error('no libvirtd runs');
  process.kill(pid, signal);
}

/** Ends libvirtd (SIGKILL: as a crash would) and waits till it is gone; machines go on. */
export async function killLibvirtd(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
  signalLibvirtd(signal);
  await waitFor(() => libvirtdPid() === undefined, { what: 'the end of libvirtd' });
}

/** Starts libvirtd and waits till it answers; `environment` is added to its own (a language, say). */
export async function startLibvirtd(environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  tool('env', [...settings, 'libvirtd', '-d']);
  await waitFor(() => tryTool('virsh', ['version']).code === 0, { what: 'an answer of libvirtd' });
}

/** Whatever a test did to libvirtd, it runs and answers again. */
export async function mendLibvirtd(): Promise<void> {
  if (libvirtdPid() === undefined) await startLibvirtd();
  else signalLibvirtd('SIGCONT');
}
