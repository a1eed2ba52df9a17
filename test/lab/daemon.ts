// The lab's own libvirtd: to be stopped, killed and started again.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isSystemLab, scratch, sendSignal, tool, tryTool, waitFor } from './lab.ts';

/** A process as /proc shows it. */
export interface Process {
  readonly pid: number;
  readonly args: readonly string[];
}

/** The lab's own directory, which stands in the environment of all that runs in a session lab. */
const LAB = `=${dirname(scratch)}/`;

/** All processes of the lab: a system lab sees no other, a session lab sees those of the whole host. */
export function processes(): Process[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').slice(0, -1);
      const isOurs = isSystemLab || readFileSync(`/proc/${entry}/environ`, 'latin1').includes(LAB);
      return args.length > 0 && isOurs ? [{ pid: Number(entry), args }] : [];
    } catch {
      return []; // gone meanwhile, or another user's
    }
  });
}

const pidFile = isSystemLab
  ? '/run/libvirtd.pid'
  : join(process.env['XDG_RUNTIME_DIR'] ?? scratch, 'libvirt', 'libvirtd.pid');

/** The process of the lab's libvirtd; undefined while there is none. */
export function libvirtdPid(): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    // the file outlives a crash; what has ended but is not yet reaped has no exe
    return basename(readlinkSync(`/proc/${pid}/exe`)).startsWith('libvirtd') ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Waits till libvirtd and a client of it have used no processor time for a second: what the client asked for is then done, or waits
 * in libvirtd for something else, of which nothing else shows.
 */
export async function libvirtdIsIdle(client: number): Promise<void> {
  const both = [client, libvirtdPid() ?? Number.NaN];
  let [used, since] = [-1, 0];
  await waitFor(
    () => {
      const now = both.reduce((sum, pid) => sum + ticksOf(pid), 0);
      if (now !== used) [used, since] = [now, Date.now()];
      return Date.now() - since > 1000;
    },
    { what: 'an idle libvirtd' },
  );
}

/** The clock ticks that a process has run so far, and one more while it waits for a processor (proc(5)). */
function ticksOf(pid: number): number {
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/\) (?=[^)]*$)/);
  const [state, ...fields] = rest.split(' ');
  return Number(fields[10]) + Number(fields[11]) + (state === 'R' ? Math.random() : 0);
}

/** Sends a signal to libvirtd: SIGSTOP hangs it, SIGCONT fixes that. */
export function signalLibvirtd(signal: NodeJS.Signals): void {
  const pid = libvirtdPid();
  if (pid === undefined) throw new Error('no libvirtd runs');
  sendSignal(pid, signal);
}

/** Ends libvirtd (SIGKILL: as a crash would) and waits till it is gone; VMs go on. */
export async function killLibvirtd(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
  signalLibvirtd(signal);
  await waitFor(() => libvirtdPid() === undefined, { what: 'the end of libvirtd' });
}

/** Starts libvirtd and waits till it answers; `environment` is added to its own (a language, say). */
export async function startLibvirtd(environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  // why on one processor: see enter.sh
  const cpus = tool('taskset', ['-p', '-c', String(process.pid)])
    .replace(/.*: /, '')
    .trim();
  tool('taskset', ['-c', cpus.replace(/[,-].*/, ''), 'env', ...settings, 'libvirtd', '-d']);
  await waitFor(() => tryTool('virsh', ['version']).code === 0, { what: 'an answer of libvirtd' });
  // a thread of it may end at this moment
  const args = ['-a', '-p', '-c', cpus, String(libvirtdPid())];
  await waitFor(() => tryTool('taskset', args).code === 0, { what: 'the processors of libvirtd' });
}

/** Whatever a test did to libvirtd, it runs and answers again. */
export async function repairLibvirtd(): Promise<void> {
  if (libvirtdPid() === undefined) await startLibvirtd();
  else signalLibvirtd('SIGCONT');
}
