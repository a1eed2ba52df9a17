import type { PauseRecord } from '../model/domain.ts';
import type { VirshCommand } from './batch.ts';
import { PAUSE_NAMESPACE, PAUSE_PREFIX, pauseRecordXml } from './xml/pause-record.ts';

/** The commands about the record of a pause in a running VM, and about how long its virtual CPUs have run. */

/** Writes the record, in place of an earlier one. `id`: that of the running VM. */
export const recordPause = (uuid: string, record: PauseRecord, id: string): VirshCommand => [
  ...['metadata', '--domain', uuid, '--live', '--uri', PAUSE_NAMESPACE, '--key', PAUSE_PREFIX],
  ...['--set', pauseRecordXml(record, id)],
];

/** Removes the record. */
export const forgetPause = (uuid: string): VirshCommand => [
  ...['metadata', '--domain', uuid, '--live', '--uri', PAUSE_NAMESPACE, '--remove'],
];

/** Asks how long the virtual CPUs have run; does not wait for a job. `parseRunTime` reads the answer. */
export const askRunTime = (uuid: string): VirshCommand => [
  ...['domstats', '--vcpu', '--nowait', '--domain', uuid],
];

/**
 * Nanoseconds for which all virtual CPUs have run, in the steps of the kernel's clock (10 ms); null if libvirt does not tell. It
 * stands still while the guest is paused, so a guest that has run since shows.
 */
export function parseRunTime(text: string): number | null {
  const times = [...text.matchAll(/^ *vcpu\.\d+\.time=(\d+)$/gm)].map(([, time]) => Number(time));
  return times.length === 0 ? null : times.reduce((sum, time) => sum + time, 0);
}
