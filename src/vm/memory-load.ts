import { debianVersion } from '../host/debian-package.ts';
import type { HostFiles } from '../host/files.ts';
import { type DaemonVersion, mayFailToLoad, spelled } from '../model/libvirt-versions.ts';
import { isRemote } from './disks.ts';

/** The first revision of Debian's package of libvirt 11.3.0 with the fix (its changelog, bug 1104735). */
const FIXED_REVISION = 2;

/**
 * Finds out whether this libvirtd can load the memory of internal snapshots. The original releases of libvirt 11.2 and
 * 11.3 cannot; a distribution may have added the fix to its package, which only the package shows.
 */
export async function loadsMemory(
  files: Pick<HostFiles, 'read'>,
  uri: string,
  version: DaemonVersion,
): Promise<boolean> {
  if (!mayFailToLoad(version)) return true;
  if (version === null || isRemote(uri)) return false;
  const installed = await debianVersion(files, 'libvirt-daemon-driver-qemu');
  const revision = /^(?:\d+:)?11\.3\.\d+-(\d+)/.exec(installed ?? '')?.[1];
  return Number(revision ?? 0) >= FIXED_REVISION;
}

/** What a libvirtd of that version cannot do, unless it is known that it can; null otherwise. */
export function failureToLoad(version: DaemonVersion, loads: boolean | undefined): string | null {
  if (!mayFailToLoad(version) || loads) return null;
  const which =
    version === null
      ? 'libvirtd does not tell its version, and 11.2 and 11.3 cannot'
      : `libvirt ${spelled(version)} cannot`;
  return `${which} load the memory of internal snapshots, unless the package has the fix from libvirt 11.4`;
}
