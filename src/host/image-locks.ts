import type { FileStatus, HostFiles } from './files.ts';
import { readText } from './files.ts';

/**
 * The locks with which QEMU and its tools protect images, as the kernel lists them. Each is a lock on one byte of the file: 100 and
 * the number of a permission that is in use, 200 and that of one that others must not use (QEMU's block/file-posix.c). Writing is
 * permission 1.
 */
const AGAINST_WRITING = [101, 201];

/**
 * Whether a process has locked the image against a new writer, because it writes to it or because it reads it. False if the kernel's
 * list (proc_locks(5)) cannot be read, or names file systems differently, as for Btrfs.
 */
export async function isLockedAgainstWriting(files: HostFiles, { identity }: FileStatus): Promise<boolean> {
  const list = await readText(files, '/proc/locks').catch(() => '');
  const [dev = '', inode] = identity.split(':');
  if (!/^\d+$/.test(dev) || inode === undefined) return false;
  const place = `${inHex(major(BigInt(dev)))}:${inHex(minor(BigInt(dev)))}:${inode}`;
  return [...list.matchAll(/^\d+: (?:OFDLCK|POSIX) +\S+ +\S+ +\S+ (\S+) (\d+) (\d+|EOF)$/gm)].some(
    ([, of, first, last]) =>
      of === place &&
      AGAINST_WRITING.some((byte) => Number(first) <= byte && (last === 'EOF' || byte <= Number(last))),
  );
}

const inHex = (number: bigint): string => number.toString(16).padStart(2, '0');

/** As gnu_dev_major(3) and gnu_dev_minor(3) take a device number apart. */
const major = (dev: bigint): bigint => ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
const minor = (dev: bigint): bigint => (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
