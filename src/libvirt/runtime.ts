import type { Virsh } from './virsh.ts';

/** What only a running machine can tell. */
export interface Runtime {
  /** Disk targets with a block job under way. */
  readonly blockJobs: readonly string[];
  /** Bytes that QEMU's process holds in memory; null when libvirt does not say. */
  readonly residentBytes: number | null;
}

/** Of a machine that is off. */
export const NO_RUNTIME: Runtime = { blockJobs: [], residentBytes: null };

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

/**
 * libvirtd's version as libvirt counts it, major * 1e6 + minor * 1e3 + release; 0 when it does not say. Only for those
 * who need it: libvirtd may probe QEMU again for the answer, which takes seconds.
 */
export async function readDaemonVersion(virsh: Virsh): Promise<number> {
  const { texts } = await virsh.read([['version', '--daemon']]);
  const [, major, minor, release] = /Running against daemon: (\d+)\.(\d+)\.(\d+)/.exec(texts[0] ?? '') ?? [];
  return Number(major ?? 0) * 1_000_000 + Number(minor ?? 0) * 1_000 + Number(release ?? 0);
}
