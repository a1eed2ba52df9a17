/**
 * From which libvirtd on something is so, as libvirt counts versions: major * 1e6 + minor * 1e3 + release. Where no
 * release note tells, it is the first of those that were tried (7.0, 9.0, 11.3, 12.8); the versions between are
 * unknown.
 */

/** `snapshot-revert --reset-nvram`. */
export const RESETS_NVRAM = 8_001_000;

/** Starts QEMU anew for every revert of a running VM; before, it loads the memory into the old one. */
export const STARTS_ANEW = 7_010_000;

/** Asks qemu-img for no snapshot of the read-only disks of a VM that is off. */
export const LEAVES_OUT_READ_ONLY = 9_000_000;

/** Reverts and deletes internal snapshots in volumes of a pool while the VM is off. */
export const HANDLES_VOLUMES_OFF = 9_000_000;

/** Deletes no snapshot of a running VM whose disk is spelled otherwise in the stored definition. */
export const COMPARES_PATHS = 9_000_000;

/** Deletes external snapshots. */
export const DELETES_EXTERNAL = 9_000_000;

/**
 * Writes down the right format of an encrypted image beneath an overlay; 7.0 says `luks` where it is qcow2. All of them,
 * up to 12.8, forget how it is opened when the VM is off, exit 0.
 */
export const KNOWS_ENCRYPTED_BASE = 9_000_000;

/** Starts QEMU to find the files of an external snapshot; 9.0 finds only those in the chain that it knows. */
export const FINDS_CHAIN = 9_001_000;

/** Reverts to external snapshots. */
export const REVERTS_EXTERNAL = 9_009_000;

/** Saves internal snapshots by QEMU's snapshot-save job, and takes UEFI VMs with qcow2 NVRAM. */
export const SAVES_BY_JOB = 10_009_000;

/**
 * Between these two it may be unable to load the memory of an internal snapshot: it starts QEMU so that it waits for an incoming
 * migration, and QEMU then takes its images for closed, `is writable but does not support snapshots` (NEWS 11.4; commit 889d2ae289cd).
 */
const BREAKS_LOADING = 11_002_000;
const LOADS_AGAIN = 11_004_000;

/** Removes no file that an internal snapshot has made no overlay over; 10.10 does. */
export const SPARES_INTERNAL = 11_003_000;

/** Removes the memory's file with an external snapshot; 9.0 leaves it. */
export const REMOVES_MEMORY = 11_003_000;

/** Lives on where a branch beside the VM's own lies on an overlay that it merges; 11.3 dies. */
export const MINDS_BRANCHES = 12_008_000;

/** libvirtd's version; null when it does not tell: then nothing that depends on it may be stated as a fact. */
export type DaemonVersion = number | null;

/** Whether it is known to be that new. */
export const isFrom = (version: DaemonVersion, since: number): boolean =>
  version !== null && version >= since;

/** Whether it is known to be older. */
export const isBefore = (version: DaemonVersion, since: number): boolean =>
  version !== null && version < since;

/**
 * What a libvirtd before `since` does, said of this one: null where it is new enough. One that does not tell its version is
 * taken for the older one, and called so.
 */
export function ifBefore(version: DaemonVersion, since: number, does: string): string | null {
  if (version === null) return `libvirtd does not tell its version, and before ${spelled(since)} it ${does}`;
  return version < since ? `this libvirtd (before ${spelled(since)}) ${does}` : null;
}

/** Whether loading the memory of an internal snapshot may fail and lose the guest; true also if the version is unknown. */
export const mayFailToLoad = (version: DaemonVersion): boolean =>
  !isBefore(version, BREAKS_LOADING) && !isFrom(version, LOADS_AGAIN);

/** `9_009_000` -> `9.9`. */
export const spelled = (version: number): string =>
  `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}`;
/** Knows `snapshot='manual'`; 7.0 finds the XML invalid. */
export const KNOWS_MANUAL = 9_000_000;

/** Takes a snapshot of disks that are all left to their storage (NEWS 11.9); before, `nothing selected for snapshot`. */
export const TAKES_MANUAL_ALONE = 11_009_000;

/** Deletes external snapshots of the memory alone, and those with disks that are left to their storage; 9.0 fails. */
export const DELETES_PARTIAL = 11_003_000;
