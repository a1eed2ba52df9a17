import type { Virsh } from './virsh.ts';

/** What only a running machine can tell. */
export interface Runtime {
  /** Disk targets with a block job under way. */
  readonly blockJobs: readonly string[];
  /** Bytes that QEMU's process holds in memory; null when libvirt does not say. */
  readonly residentBytes: number | null;
}

/**
 * Asks a running machine. Waits, as the write itself would, while another job holds the machine. `--raw` prints
 * nothing but `type=...` lines where there is a job, and 7.0 to 12.8 nothing where there is none.
 */
export async function readRuntime(virsh: Virsh, uuid: string, targets: readonly string[]): Promise<Runtime> {
  const { texts } = await virsh.read([
    ['domstats', '--balloon', '--nowait', '--domain', uuid],
    ...targets.map((target) => ['blockjob', '--domain', uuid, '--path', target, '--info', '--raw']),
  ]);
  const [stats, ...jobs] = texts;
  const [, kib] = /balloon\.rss=(\d+)/.exec(stats ?? '') ?? [];
  return {
    blockJobs: targets.filter((_, i) => /type=/.test(jobs[i] ?? '')),
    residentBytes: kib === undefined ? null : Number(kib) * 1024,
  };
}
