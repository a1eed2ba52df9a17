// Runs of kvmsnap that are interrupted, and what they say.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliResult, kvmsnapWords, type RunningCli } from '../../lab/cli.ts';
import { processes } from '../../lab/daemon.ts';
import { waitFor } from '../../lab/lab.ts';
import { tags } from '../../scene/disk.ts';
import { pathOf, type Vm } from '../../scene/vm.ts';

/** The signals that end a run, and the exit codes of a shell for them. */
export const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const;

export const CANNOT_CANCEL = 'libvirt cannot cancel this. Waiting for it to finish';

export const CARRIES_ON = 'kvmsnap stopped waiting, but libvirtd continues with';

export const tagNames = (vm: Vm): string[] => tags(pathOf(vm)).map(({ name }) => name);

/** Another administrator, with virsh. */
export const rawCreate = (vm: Vm) => spawn('virsh', ['snapshot-create-as', vm.uuid, 'raw']);

/** Sends a signal and waits till kvmsnap has said why it does not end. */
export async function interrupt(run: RunningCli, signal: NodeJS.Signals): Promise<void> {
  run.kill(signal);
  await waitFor(() => run.stderr.includes(`${signal}: ${CANNOT_CANCEL}`), { what: 'a word on the signal' });
}

/** Whether it goes on for a while. */
export const isUnderWay = (run: RunningCli): Promise<boolean> =>
  Promise.race([run.done.then(() => false), sleep(300).then(() => true)]);

/** The kvmsnap of a terminal, below the terminal's own processes. */
export const kvmsnapProcess = (command: string): number | undefined =>
  processes().find(({ args }) => args[0] === kvmsnapWords[0] && args.includes(command))?.pid;

/** A read would wait 45 s for libvirtd, and a write for what stands still. */
const HANG_SECONDS = 40;

/** The result of a run that does not wait for what stands still. */
export async function withoutWaiting(run: RunningCli): Promise<CliResult> {
  const hung = new AbortController();
  const result = await Promise.race([run.done, sleep(HANG_SECONDS * 1000, null, { signal: hung.signal })]);
  hung.abort();
  if (result === null) throw new Error(`it waits: ${run.stderr}`);
  return result;
}
