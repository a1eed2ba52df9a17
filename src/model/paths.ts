/** Parts of absolute paths, as text. */

/**
 * The path without its last extension, as libvirt removes it for the name of an overlay
 * (virDomainSnapshotDefAssignExternalNames).
 */
export const stem = (path: string): string => path.replace(/\.[^./]*$/, '');

/** The directory, without the slash at its end. */
export const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** The last part of a path. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
