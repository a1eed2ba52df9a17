/**
 * The libvirtd versions from which on something holds, as libvirt counts versions: major * 1e6 + minor * 1e3 + release.
 * If no release note tells, it is the first of the tested versions (7.0, 9.0, 11.3, 12.8), and the versions between are
 * unknown.
 */

/** `snapshot-revert --reset-nvram`. */
export const RESETS_NVRAM = 8_001_000;

/** Starts a new QEMU for every revert of a running VM; older versions load the memory into the present one. */
export const STARTS_ANEW = 7_010_000;

/** Does not ask qemu-img for snapshots of the read-only disks of a VM that is off. */
export const LEAVES_OUT_READ_ONLY = 9_000_000;

/** Reverts and deletes internal snapshots in volumes of a pool while the VM is off. */
export const HANDLES_VOLUMES_OFF = 9_000_000;

/** Does not delete a snapshot of a running VM if the path of a disk is spelled differently in the stored definition. */
export const COMPARES_PATHS = 9_000_000;

/** Deletes external snapshots. */
export const DELETES_EXTERNAL = 9_000_000;

/**
 * Records the right format of an encrypted backing file in an overlay; 7.0 records `luks` if it is qcow2. All versions
 * up to 12.8 lose the information how it is opened if the VM is off, and exit with 0.
 */
export const KNOWS_ENCRYPTED_BASE = 9_000_000;

/** Starts QEMU to find the files of an external snapshot; 9.0 finds only those in the known chain. */
export const FINDS_CHAIN = 9_001_000;

/** Reverts to external snapshots. */
export const REVERTS_EXTERNAL = 9_009_000;

/** Saves internal snapshots by QEMU's snapshot-save job, and takes UEFI VMs with qcow2 NVRAM. */
export const SAVES_BY_JOB = 10_009_000;

/**
 * Versions between these two may be unable to load the memory of an internal snapshot: they start QEMU so that it waits
 * for an incoming migration, and QEMU then takes its images for closed, `is writable but does not support snapshots`
 * (NEWS 11.4; commit 889d2ae289cd).
 */
const BREAKS_LOADING = 11_002_000;
const LOADS_AGAIN = 11_004_000;

/** Does not remove files of which an internal snapshot has made no overlay; 10.10 does. */
export const SPARES_INTERNAL = 11_003_000;

/** Removes the memory file of an external snapshot; 9.0 leaves it. */
export const REMOVES_MEMORY = 11_003_000;

/** Does not crash if another branch is based on an overlay that it merges; 11.3 crashes. */
export const MINDS_BRANCHES = 12_008_000;

/** libvirtd's version; null if it does not tell its version. Then nothing that depends on it may be stated as a fact. */
export type DaemonVersion = number | null;

/** Whether it is known to be at least that version. */
export const isFrom = (version: DaemonVersion, since: number): boolean =>
  version !== null && version >= since;

/** Whether it is known to be older. */
export const isBefore = (version: DaemonVersion, since: number): boolean =>
  version !== null && version < since;

/**
 * A sentence about what libvirtd before `since` does, applied to this one; null if it is new enough. One that does not
 * tell its version is treated as the older one, and the sentence says so.
 */
export function ifBefore(version: DaemonVersion, since: number, does: string): string | null {
  if (version === null)
    return `libvirtd does not tell its version, and libvirt before ${spelled(since)} ${does}`;
  return version < since ? `this libvirtd (before ${spelled(since)}) ${does}` : null;
}

/** Whether loading the memory of an internal snapshot may fail and lose the guest; true also if the version is unknown. */
export const mayFailToLoad = (version: DaemonVersion): boolean =>
  !isBefore(version, BREAKS_LOADING) && !isFrom(version, LOADS_AGAIN);

/** `9_009_000` -> `9.9`. */
export const spelled = (version: number): string =>
  `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}`;
/** Supports `snapshot='manual'`; for 7.0 the XML is invalid. */
export const KNOWS_MANUAL = 9_000_000;

/**
 * Takes a snapshot if all disks are left to their storage (NEWS 11.9); older versions fail with `nothing selected for
 * snapshot`.
 */
export const TAKES_MANUAL_ALONE = 11_009_000;

/** Deletes external snapshots of only the memory, and those with disks that are left to their storage; 9.0 fails. */
export const DELETES_PARTIAL = 11_003_000;
