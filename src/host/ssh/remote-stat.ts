import type { FileKind, FileStatus, FileSystemStatus } from '../files.ts';

/** Reads what stat(1) prints, of GNU coreutils and of busybox. */

/** The format for `stat -L -c`: mode, device, inode, number of a device, size, blocks, times. */
export const STAT_FORMAT = '%f %d %i %t %T %s %b|%y|%z|%w';

/** The format for `stat -f -c`: type, unit of the blocks, all blocks, free ones, free ones for users, preferred size. */
export const STATFS_FORMAT = '%t %S %b %f %a %s';

/** The unit of `%b`: `%B` is 512 on Linux. */
const BLOCK_BYTES = 512;

/** stat(2): the bits of the mode that tell the kind. */
const KINDS: ReadonlyMap<number, FileKind> = new Map([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o060000, 'block-device'],
  [0o020000, 'character-device'],
  [0o010000, 'pipe'],
  [0o140000, 'socket'],
]);

/** Throws an error without a code for anything else than such a line. */
export function parseStat(text: string): FileStatus {
  const [numbers = '', written = '', changed = '', made = ''] = text.trimEnd().split('|');
  const [mode = '', dev = '', ino = '', high = '', low = '', size = '', blocks = ''] = numbers.split(' ');
  if (![mode, high, low].every(isHex) || ![dev, ino, size, blocks].every(isDecimal)) throw unexpected(text);
  const bits = Number.parseInt(mode, 16);
  const kind = KINDS.get(bits & 0o170000) ?? 'other';
  const device = `${Number.parseInt(high, 16)}:${Number.parseInt(low, 16)}`;
  const isDevice = kind === 'block-device';
  const writtenAt = time(written);
  if (writtenAt === null) throw unexpected(text);
  return {
    kind,
    identity: isDevice ? `device ${device}` : `${dev}:${ino}`,
    device: isDevice ? device : null,
    fileSystemId: dev,
    sizeBytes: Number(size),
    occupiedBytes: Number(blocks) * BLOCK_BYTES,
    mode: bits & 0o7777,
    writtenAt,
    // a file system that does not tell it has the time of the last change, or nothing
    madeAt: made === changed ? null : time(made),
    stamp: `${dev}:${ino}:${device}:${size}:${written}:${changed}`,
  };
}

/** The same for `STATFS_FORMAT`, with the size in bytes. */
export function parseStatfs(text: string): FileSystemStatus & { readonly sizeBytes: number } {
  const [type = '', ...others] = text.trimEnd().split(' ');
  if (!isHex(type) || others.length !== 5 || !others.every(isDecimal)) throw unexpected(text);
  const [unit = 0, blocks = 0, free = 0, freeForUsers = 0, preferred = 0] = others.map(Number);
  const bytes = unit || preferred;
  return {
    type: Number.parseInt(type, 16),
    mostFreeBytes: freeForUsers * bytes,
    mostFreeForRootBytes: free * bytes,
    sizeBytes: blocks * bytes,
  };
}

const isHex = (text: string): boolean => /^[0-9a-f]{1,16}$/.test(text);
const isDecimal = (text: string): boolean => /^\d{1,20}$/.test(text);

/** `2026-11-28 10:11:12.123456789 +0000`, as both print a time; in milliseconds. */
function time(text: string): number | null {
  const [, day, clock, fraction = '', sign, hours, minutes] =
    /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{1,9})? ([+-])(\d\d)(\d\d)$/.exec(text) ?? [];
  if (day === undefined) return null;
  const seconds = Date.parse(`${day}T${clock}${sign}${hours}:${minutes}`);
  return Number.isNaN(seconds) ? null : seconds + Number(`0${fraction}`) * 1000;
}

const unexpected = (text: string): Error =>
  failure('EPROTO', `unexpected output of stat: ${JSON.stringify(text.slice(0, 80))}`);

/** Texts of the C libraries (strerror(3)) for the errors that kvmsnap tells apart. */
const CODES: readonly (readonly [RegExp, string])[] = [
  [/No such file or directory|nonexistent|Directory nonexistent/, 'ENOENT'],
  [/Permission denied/, 'EACCES'],
  [/Not a directory/, 'ENOTDIR'],
  [/Read-only file system/, 'EROFS'],
  [/File exists|existing file/, 'EEXIST'],
  [/Operation not permitted/, 'EPERM'],
  [/Is a directory/, 'EISDIR'],
  [/Text file busy/, 'ETXTBSY'],
  [/No space left on device/, 'ENOSPC'],
  [/Too many levels of symbolic links|Symbolic link loop/, 'ELOOP'],
  [/Resource temporarily unavailable/, 'EAGAIN'],
];

/** An error as Node.js throws it. */
export function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** The error for the messages of a command that failed. */
export function failureOf(messages: string): Error {
  const text = messages.trim().split('\n').at(-1) ?? '';
  // a path may contain these words, and what went wrong comes last
  const reason = text.slice(text.lastIndexOf(': ') + 2);
  const [, code = 'EIO'] = CODES.find(([pattern]) => pattern.test(reason)) ?? [];
  return failure(code, text || 'it failed without a message');
}
