import { KvmsnapError } from '../errors.ts';

/**
 * The port to the files of the host on which virsh and qemu-img run. All access goes through `HostFiles`, so that
 * another implementation can do the same on a host that is reached over ssh. The files of the user who runs kvmsnap
 * (saved-xml.ts, user-files.ts, the terminal) are not part of it, because they are where kvmsnap runs.
 */

/**
 * The operations on files that kvmsnap needs. Paths are absolute, sizes are in bytes, links are followed. A failure
 * throws an error with the `code` of errno(3), as in Node.js: `ENOENT`, `EACCES` and so on.
 */
export interface HostFiles {
  stat(path: string): Promise<FileStatus>;
  /** What statfs(2) reports about the file system of a path. This needs no process. */
  statfs(path: string): Promise<FileSystemStatus>;
  /** Size and free space of the file system of a path, as `df` shows them; null if unknown. */
  capacity(path: string): Promise<Capacity | null>;
  realpath(path: string): Promise<string>;
  readdir(path: string): Promise<readonly DirectoryEntry[]>;
  /** The content of a small file, such as those in /proc and /sys. */
  read(path: string): Promise<Uint8Array>;
  /**
   * Opens a regular file or a block device for reading. Null for anything else, because opening a pipe would wake its
   * writer.
   */
  open(path: string): Promise<OpenFile | null>;
  /** access(2): throws `EROFS` on a file system that is mounted read-only, `EACCES` where this user may not write. */
  checkWritable(path: string): Promise<void>;
  /**
   * Opens a file for writing and closes it, to find obstacles that only this shows. Does not wait for a lease of
   * another process.
   */
  checkOpensForWriting(path: string): Promise<void>;
  /** Makes a new file with these bytes; throws `EEXIST` if the file exists. */
  write(path: string, bytes: Uint8Array, mode: number): Promise<void>;
  /** Opens a new file for writing it in pieces; throws `EEXIST` if the file exists. */
  create(path: string, mode: number): Promise<GrowingFile>;
  chmod(path: string, mode: number): Promise<void>;
  /** Gives a file the owner and the group of another one, and the group the rights to read and to write that it has there. */
  giveLike(path: string, other: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes a directory and those above it. `mode`: of those that it makes, as far as the umask allows. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(path: string): Promise<void>;
  /** Writes a finished file to its disk, and gives it another name in its directory; throws `EEXIST` if that name exists. */
  publish(path: string, name: string): Promise<void>;
}

export interface FileStatus {
  readonly kind: FileKind;
  /**
   * Equal for two paths of the same content: by file system and inode, by the number of a block device, and for a loop
   * device by the file behind it.
   */
  readonly identity: string;
  /** The number of a block device, as in /sys/dev/block: `8:1`. */
  readonly device: string | null;
  /** The file system that contains it. */
  readonly fileSystemId: string;
  readonly sizeBytes: number;
  /** Bytes that it occupies on its file system; 0 for a device. */
  readonly occupiedBytes: number;
  /** The permission bits, such as 0o644. */
  readonly mode: number;
  /** Milliseconds since the epoch. */
  readonly writtenAt: number;
  /** When the file was made, in the same unit; null if the file system does not tell. A new file at an old path is younger. */
  readonly madeAt: number | null;
  /** Changes with any change to the content or the attributes of the file. */
  readonly stamp: string;
}

export type FileKind =
  | 'file'
  | 'directory'
  | 'block-device'
  | 'character-device'
  | 'pipe'
  | 'socket'
  /** None that Linux has today. */
  | 'other';

export interface FileSystemStatus {
  /** Its magic number. */
  readonly type: number;
  /**
   * Upper bounds of the free bytes for an ordinary user and for root. If the file system counts blocks in another unit
   * than `f_bsize`, that unit is smaller (statvfs(3)).
   */
  readonly mostFreeBytes: number;
  readonly mostFreeForRootBytes: number;
}

/** The size of a file system, and how much can still be written to it. */
export interface Capacity {
  readonly sizeBytes: number;
  /** For an ordinary user. */
  readonly freeBytes: number;
}

export interface DirectoryEntry {
  readonly name: string;
  /** Whether it is a regular file, and not a link. */
  readonly isFile: boolean;
}

/** An open file. */
export interface OpenFile {
  readonly kind: 'file' | 'block-device';
  /** Its size; of a block device too. */
  readonly size: number;
  /** Bytes that it occupies on its file system; 0 for a device. */
  readonly occupiedBytes: number;
  /**
   * Reads from that offset; returns the number of bytes read, which is smaller than requested only at the end of the
   * file. It is synchronous, because the qcow2 reader would take three times as long with a thread pool. A file of
   * another host throws `MissingBytes` for what was not fetched yet.
   */
  read(offset: number, into: Uint8Array): number;
  /** Tells which pieces of so many bytes will be read, in this order; a file of another host fetches many at once. */
  expect?(offsets: readonly number[], bytes: number): void;
  close(): Promise<void>;
}

/** A file that is being written. */
export interface GrowingFile {
  append(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Thrown by a file of another host for bytes that have to be fetched first. */
export class MissingBytes extends Error {
  /** Fetches them; then the reading can begin again. */
  readonly fetch: () => Promise<void>;
  constructor(fetch: () => Promise<void>) {
    super('these bytes were not fetched yet');
    this.fetch = fetch;
  }
}

/** Reads from files, from the beginning again as long as bytes have to be fetched: `read` must have no effect but its result. */
export async function readFetched<T>(read: () => T | Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof MissingBytes)) throw error;
      await error.fetch();
    }
  }
}

/** Bytes that an ordinary user can still write to the file system of this path; null if unknown. */
export async function freeBytes(files: HostFiles, path: string): Promise<number | null> {
  return (await files.capacity(path).catch(unlessOurs))?.freeBytes ?? null;
}

/** `byRoot`: includes the space that is reserved for root. Null if unknown; needs no process. */
export async function mostFreeBytes(files: HostFiles, path: string, byRoot: boolean): Promise<number | null> {
  const found = await files.statfs(path).catch(unlessOurs);
  return found && (byRoot ? found.mostFreeForRootBytes : found.mostFreeBytes);
}

/** File systems of this kernel, which take the time from its clock (statfs(2)): ext2 to ext4, XFS, Btrfs, tmpfs. */
const OF_THIS_KERNEL: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994]);

/** Whether the times of a file are those of the clock of this host, and not of a server. */
export async function hasOwnClock(files: HostFiles, path: string): Promise<boolean> {
  const found = await files.statfs(path).catch(unlessOurs);
  return found !== null && OF_THIS_KERNEL.has(found.type);
}

/** When a file was last written to, in milliseconds since the epoch; null if unknown, as for a device. */
export async function writtenAt(files: HostFiles, path: string): Promise<number | null> {
  const found = await files.stat(path).catch(unlessOurs);
  return found?.kind === 'file' ? found.writtenAt : null;
}

/** Bytes that a file occupies on its file system; null if unknown. */
export async function occupiedBytes(files: HostFiles, path: string): Promise<number | null> {
  const found = await files.stat(path).catch(unlessOurs);
  return found?.occupiedBytes ?? null;
}

/** The errno(3) code of an error that a HostFiles operation threw, such as `ENOENT`; null for any other error. */
export function errorCode(error: unknown): string | null {
  const { code } = error as { readonly code?: unknown };
  return error instanceof Error && !(error instanceof KvmsnapError) && typeof code === 'string' ? code : null;
}

/** Turns an error of the file system into null; an error that ends the run is thrown. */
export function unlessOurs(error: unknown): null {
  if (errorCode(error) === null) throw error;
  return null;
}

/** The text of a small file of the kernel or of the system; bytes that are no ASCII are kept one by one. */
export const readText = async (files: Pick<HostFiles, 'read'>, path: string): Promise<string> =>
  new TextDecoder('latin1').decode(await files.read(path));
