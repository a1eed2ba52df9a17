import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { allAnswered, isBusy } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { Virsh } from './virsh.ts';
import { connectionFailure, virshFailure } from './virsh-error.ts';

/** What only a running VM can tell. */
export interface Runtime {
  /** Disk targets with a block job under way. */
  readonly blockJobs: readonly string[];
  /** Bytes that QEMU's process holds in memory; null when libvirt does not say. */
  readonly residentBytes: number | null;
}

/** Of a VM that is off. */
export const NO_RUNTIME: Runtime = { blockJobs: [], residentBytes: null };

/**
 * Asks a running VM. libvirtd waits up to 30 s while another job holds it, as it would for the write itself; so the
 * first disk is asked alone, and `busy` thrown, before that can add up over the disks.
 */
export async function readRuntime(virsh: Virsh, uuid: string, targets: readonly string[]): Promise<Runtime> {
  const first = await virsh.read([
    ['domstats', '--balloon', '--nowait', '--domain', uuid],
    ...targets.slice(0, 1).map((target) => blockJobCommand(uuid, target)),
  ]);
  const failure = virshFailure('cannot ask for block jobs', first.stderr);
  if (failure.code === 'busy') throw failure;
  const others = targets.slice(1);
  const rest =
    others.length === 0 ? null : await virsh.read(others.map((target) => blockJobCommand(uuid, target)));
  const [stats, ...jobs] = [...first.texts, ...(rest?.texts ?? [])];
  const [, kib] = /balloon\.rss=(\d+)/.exec(stats ?? '') ?? [];
  return {
    blockJobs: targets.filter((_, i) => /type=/.test(jobs[i] ?? '')),
    residentBytes: kib === undefined ? null : Number(kib) * 1024,
  };
}

/** `--raw` prints `type=...` lines where there is a job, and nothing where there is none (7.0 to 12.8). */
function blockJobCommand(uuid: string, target: string): VirshCommand {
  return ['blockjob', '--domain', uuid, '--path', target, '--info', '--raw'];
}

/** How far a job of libvirt is. */
export interface JobProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Of all merges under way on these disks; null where there is none. Format: as blockJobCommand. */
export async function readMerged(
  virsh: Virsh,
  uuid: string,
  targets: readonly string[],
): Promise<JobProgress | null> {
  if (targets.length === 0) return null;
  const { texts } = await virsh.read(targets.map((target) => blockJobCommand(uuid, target)));
  const sum = (key: string) =>
    texts.reduce(
      (total, text) => total + Number(new RegExp(`^${key}=(\\d+)`, 'm').exec(text ?? '')?.[1] ?? 0),
      0,
    );
  const totalBytes = sum('end');
  return totalBytes > 0 ? { doneBytes: sum('cur'), totalBytes } : null;
}

/**
 * Waits, as long as libvirtd does (30 s), for the job that holds the VM, running or off; false when it goes on.
 * No state tells this: `paused (saving)` comes some time after the job has begun, and outlives a libvirtd that died.
 */
export async function isIdle(virsh: Virsh, uuid: string): Promise<boolean> {
  const { texts, stderr, lastSucceeded } = await virsh.read([
    ['domjobinfo', '--domain', uuid],
    ['domcontrol', '--domain', uuid],
    ['uri'],
  ]);
  if (!lastSucceeded) throw connectionFailure(stderr);
  // of some jobs domjobinfo has nothing to tell, and says so at once: a revert of 12.8, the merging of external ones
  return virshFailure('', stderr).code !== 'busy' && !isBusy(texts[1] ?? '');
}

/**
 * libvirtd's version as libvirt counts it, major * 1e6 + minor * 1e3 + release; null when it does not say: it asks QEMU for
 * its version first, and says nothing where that is missing. Only for those who need it: libvirtd may probe QEMU again for
 * the answer, which takes seconds.
 */
export async function readDaemonVersion(virsh: Virsh): Promise<DaemonVersion> {
  const [text = ''] = allAnswered(await virsh.read([['version', '--daemon']]));
  const [found, ...parts] = /Running against daemon: (\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  if (!found) return null;
  const [major = 0, minor = 0, release = 0] = parts.map(Number);
  return major * 1_000_000 + minor * 1_000 + release;
}

/**
 * Of a save of the memory to a file; null when no such job is under way. An internal snapshot's save lets the question wait
 * until its end.
 */
export async function readJobProgress(virsh: Virsh, uuid: string): Promise<JobProgress | null> {
  const { texts } = await virsh.read([['domjobinfo', '--domain', uuid, '--rawstats']]);
  const [text] = texts;
  const figure = (name: string) =>
    Number(new RegExp(`^\\s*${name}: (\\d+)$`, 'm').exec(text ?? '')?.[1] ?? 0);
  const totalBytes = figure('data_total');
  return totalBytes > 0 ? { doneBytes: totalBytes - figure('data_remaining'), totalBytes } : null;
}
