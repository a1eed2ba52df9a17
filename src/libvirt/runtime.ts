import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { inText } from '../model/text.ts';
import { allAnswered, isBusy } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { DomainName } from './resolve.ts';
import type { Virsh } from './virsh.ts';
import { connectionFailure, virshFailure } from './virsh-error.ts';

/** Facts that only a running VM can provide. */
export interface Runtime {
  /** Disk targets with a block job under way. */
  readonly blockJobs: readonly string[];
  /** Bytes of memory that the QEMU process uses; null if libvirt does not say. */
  readonly residentBytes: number | null;
}

/** The facts about a VM that is off. */
export const NO_RUNTIME: Runtime = { blockJobs: [], residentBytes: null };

/**
 * Asks a running VM. While another job holds the VM, libvirtd waits up to 30 s, as it would for the write itself. So
 * the first disk is asked alone, and `busy` is thrown, before the waits add up over the disks.
 */
export async function readRuntime(
  virsh: Virsh,
  { uuid, name }: DomainName,
  targets: readonly string[],
): Promise<Runtime> {
  const first = await virsh.read([
    ['domstats', '--balloon', '--nowait', '--domain', uuid],
    ...targets.slice(0, 1).map((target) => blockJobCommand(uuid, target)),
  ]);
  const failure = virshFailure(`cannot read the block jobs of ${inText(name)}`, first.stderr);
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

/** `--raw` prints `type=...` lines if there is a job, and nothing otherwise (7.0 to 12.8). */
function blockJobCommand(uuid: string, target: string): VirshCommand {
  return ['blockjob', '--domain', uuid, '--path', target, '--info', '--raw'];
}

/** The progress of a libvirt job. */
export interface JobProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** The progress of all merges on these disks; null if there is none. Format: as of blockJobCommand. */
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
 * Waits, as long as libvirtd does (30 s), for the job that holds the VM, running or off; false if the job continues. No
 * state shows this: `paused (saving)` appears some time after the job has begun, and remains if libvirtd dies.
 */
export async function isIdle(virsh: Virsh, uuid: string): Promise<boolean> {
  const { texts, stderr, lastSucceeded } = await virsh.read([
    ['domjobinfo', '--domain', uuid],
    ['domcontrol', '--domain', uuid],
    ['uri'],
  ]);
  if (!lastSucceeded) throw connectionFailure(stderr);
  // for some jobs domjobinfo returns nothing at once: for a revert on 12.8, and for the merge of external snapshots
  return virshFailure('', stderr).code !== 'busy' && !isBusy(texts[1] ?? '');
}

/**
 * libvirtd's version as libvirt counts it, major * 1e6 + minor * 1e3 + release. Null if libvirtd does not tell it: it
 * asks QEMU for a version first, and answers nothing if QEMU is missing. Read it only if needed, because libvirtd may
 * probe QEMU again for the answer, which takes seconds.
 */
export async function readDaemonVersion(virsh: Virsh): Promise<DaemonVersion> {
  const [text = ''] = allAnswered(await virsh.read([['version', '--daemon']]));
  const [found, ...parts] = /Running against daemon: (\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  if (!found) return null;
  const [major = 0, minor = 0, release = 0] = parts.map(Number);
  return major * 1_000_000 + minor * 1_000 + release;
}

/**
 * The progress of saving the memory to a file; null if no such job is under way. While an internal snapshot is saved,
 * the question waits until its end.
 */
export async function readJobProgress(virsh: Virsh, uuid: string): Promise<JobProgress | null> {
  const { texts } = await virsh.read([['domjobinfo', '--domain', uuid, '--rawstats']]);
  const [text] = texts;
  const figure = (name: string) =>
    Number(new RegExp(`^\\s*${name}: (\\d+)$`, 'm').exec(text ?? '')?.[1] ?? 0);
  const totalBytes = figure('data_total');
  return totalBytes > 0 ? { doneBytes: totalBytes - figure('data_remaining'), totalBytes } : null;
}
