import { KvmsnapError } from '../errors.ts';

/**
 * The files of the host on which virsh and qemu-img run. Whatever touches one of them goes through `HostFiles`, so that
 * another implementation can do the same on a host that is reached over ssh. The files of the user who runs kvmsnap
 * (state-files.ts, user-files.ts, the terminal) are no part of this: they are where kvmsnap runs.
 */

/**
 * The operations on files that kvmsnap needs. Paths are absolute, sizes are in bytes, links are followed. What fails throws
 * an error with the `code` of errno(3), as Node.js does: `ENOENT`, `EACCES` and so on.
 */
export interface HostFiles {
  stat(path: string): Promise<FileStatus>;
  /** What statfs(2) tells of the file system of a path. No process is needed for it. */
  statfs(path: string): Promise<FileSystemStatus>;
  /** Size and free space of the file system of a path, as `df` shows them; null where the host cannot tell. */
  capacity(path: string): Promise<Capacity | null>;
  realpath(path: string): Promise<string>;
  readdir(path: string): Promise<readonly DirectoryEntry[]>;
  /** The whole of a file that is known to be small, such as those of /proc and /sys. */
  read(path: string): Promise<Uint8Array>;
  /** Opens a regular file or a block device for reading. Null for anything else: to open a pipe would wake its writer. */
  open(path: string): Promise<OpenFile | null>;
  /** access(2): throws `EROFS` on a file system that is mounted read-only, `EACCES` where this user may not write. */
  checkWritable(path: string): Promise<void>;
  /** Opens a file for writing and closes it, for what only that shows; a lease that another holds is not waited for. */
  checkOpensForWriting(path: string): Promise<void>;
  /** Makes a new file that holds these bytes; throws `EEXIST` where there is one. */
  write(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  remove(path: string): Promise<void>;
}

export interface FileStatus {
  readonly kind: FileKind;
  /** Equal for two paths that name the same file: by file system and inode, of a block device by its own number. */
  readonly identity: string;
  /** Of a block device its number, as /sys/dev/block has it: `8:1`. */
  readonly device: string | null;
  /** The file system that it lies on. */
  readonly fileSystemId: string;
  readonly sizeBytes: number;
  /** What it occupies on its file system; 0 for a device. */
  readonly occupiedBytes: number;
  /** The permission bits, such as 0o644. */
  readonly mode: number;
  /** Milliseconds since the epoch. */
  readonly writtenAt: number;
  /** Differs after any change to the content or the attributes of a file. */
  readonly stamp: string;
}

export type FileKind = 'file' | 'directory' | 'block-device' | 'other';

export interface FileSystemStatus {
  /** Its magic number. */
  readonly type: number;
  /**
   * More than this is certainly not free for an ordinary user, and for root: where blocks are counted in another unit than
   * `f_bsize`, that is smaller (statvfs(3)).
   */
  readonly mostFreeBytes: number;
  readonly mostFreeForRootBytes: number;
}

/** How large a file system is, and what may still be written on it. */
export interface Capacity {
  readonly sizeBytes: number;
  /** For an ordinary user. */
  readonly freeBytes: number;
}

export interface DirectoryEntry {
  readonly name: string;
  /** A regular file; not a link to one. */
  readonly isFile: boolean;
}

/** An open file. */
export interface OpenFile {
  readonly kind: 'file' | 'block-device';
  /** Its size; of a block device too. */
  readonly size: number;
  /** What it occupies on its file system; 0 for a device. */
  readonly occupiedBytes: number;
  /**
   * Reads from that offset on; returns how many bytes there were, fewer than asked for only at the end. Synchronous, since
   * the reader of qcow2 needs three times as long with a thread pool between. An implementation that has to ask another host
   * can leave that to a thread of its own and wait for it (`Atomics.wait`).
   */
  read(offset: number, into: Uint8Array): number;
  close(): Promise<void>;
}

/** Bytes that an ordinary user may still write on the file system of this path; null where it cannot be asked. */
export async function freeBytes(files: HostFiles, path: string): Promise<number | null> {
  return (await files.capacity(path).catch(unlessOurs))?.freeBytes ?? null;
}

/** `byRoot`: who may use what is kept back for root. Null where it cannot be asked; no process is needed for it. */
export async function mostFreeBytes(files: HostFiles, path: string, byRoot: boolean): Promise<number | null> {
  const found = await files.statfs(path).catch(unlessOurs);
  return found && (byRoot ? found.mostFreeForRootBytes : found.mostFreeBytes);
}

/** When a file was last written to, in milliseconds since the epoch; null where that does not show: of a device. */
export async function writtenAt(files: HostFiles, path: string): Promise<number | null> {
  const found = await files.stat(path).catch(unlessOurs);
  return found?.kind === 'file' ? found.writtenAt : null;
}

/** Bytes that a file occupies on its file system now; null where it cannot be asked. */
export async function occupiedBytes(files: HostFiles, path: string): Promise<number | null> {
  const found = await files.stat(path).catch(unlessOurs);
  return found?.occupiedBytes ?? null;
}

/** The errno(3) code of what a HostFiles operation has thrown, such as `ENOENT`; null for any other error. */
export function errorCode(error: unknown): string | null {
  const { code } = error as { readonly code?: unknown };
  return error instanceof Error && !(error instanceof KvmsnapError) && typeof code === 'string' ? code : null;
}

/** Null in place of an error of the file system; what ends the run is thrown. */
export function unlessOurs(error: unknown): null {
  if (errorCode(error) === null) throw error;
  return null;
}
