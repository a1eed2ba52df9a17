import { errorCode, type FileKind, type HostFiles, readText, unlessOurs } from '../host/files.ts';
import type { Found } from '../libvirt/definition/found-things.ts';
import { FITTING_KINDS, type Opened } from '../libvirt/xml/need.ts';

/**
 * Looks for what libvirt and QEMU open at a start: whether it exists, and whether it is a kind of file that can be opened so.
 * Nothing is opened or connected to here, because a pipe would wake its reader, and a server that takes one client would be
 * lost to the VM.
 */

/** The kind of file, or why it is not known. */
type Seen = FileKind | 'missing' | 'unknown';

async function kindAt(files: HostFiles, path: string): Promise<Seen> {
  try {
    return (await files.stat(path)).kind;
  } catch (error) {
    const code = errorCode(error);
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unknown';
  }
}

/** Whether a path exists, as far as this user can see. */
export async function existence(files: HostFiles, path: string): Promise<'there' | 'missing' | 'unknown'> {
  const seen = await kindAt(files, path);
  return seen === 'missing' || seen === 'unknown' ? seen : 'there';
}

const KIND_WORDS: Readonly<Record<FileKind, string>> = {
  file: 'a regular file',
  directory: 'a directory',
  'block-device': 'a block device',
  'character-device': 'a character device',
  pipe: 'a named pipe',
  socket: 'a socket',
  other: 'no file that can be read',
};

const EXPECTED: Readonly<Record<Opened, string>> = {
  content: 'a file',
  rom: 'a regular file',
  device: 'a device',
  port: 'a parallel port',
  stream: 'a device',
  directory: 'a directory',
};

const wrongKind = (kind: FileKind, expected: string): Found => ({
  is: 'missing',
  detail: `is ${KIND_WORDS[kind]}, not ${expected}`,
});

/** Whether a file exists that can be opened in this way. */
export async function findFitting(files: HostFiles, path: string, opens: Opened): Promise<Found> {
  const seen = await kindAt(files, path);
  if (seen === 'missing' || seen === 'unknown') return { is: seen };
  return FITTING_KINDS[opens].includes(seen) ? { is: 'there' } : wrongKind(seen, EXPECTED[opens]);
}

/** A file that will be made: libvirt removes whatever is at its path, but cannot remove a directory. */
export async function findOutput(files: HostFiles, path: string): Promise<Found> {
  return (await kindAt(files, path)) === 'directory' ? wrongKind('directory', 'a file') : { is: 'there' };
}

/** QEMU opens PATH.in and PATH.out, or PATH itself if one of these is missing. */
export async function findPipe(files: HostFiles, path: string): Promise<Found> {
  const find = (end: string) => findFitting(files, `${path}${end}`, 'stream');
  const [into, out, alone] = await Promise.all([find('.in'), find('.out'), find('')]);
  return into.is === 'there' && out.is === 'there' ? into : alone;
}

/** Whether a program listens on a socket. A socket whose program was killed stays in its directory. */
export async function findSocket(files: HostFiles, path: string): Promise<Found> {
  const seen = await kindAt(files, path);
  if (seen === 'missing' || seen === 'unknown') return { is: seen };
  if (seen !== 'socket') return wrongKind(seen, 'a socket');
  const real = await files.realpath(path).catch(unlessOurs);
  const isListening = await listens(files, nameOf(real ?? path));
  if (isListening === null) return { is: 'unknown' };
  return isListening ? { is: 'there' } : { is: 'missing', detail: 'no program listens on', onlyNow: true };
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/**
 * Whether a program listens on a socket of that file name, in this network namespace or that of a container; null if that
 * cannot be read. Only the name is compared: a container may have bound the socket under another path.
 */
async function listens(files: HostFiles, name: string): Promise<boolean | null> {
  const own = await readListeners(files, 'self');
  if (own === null) return null;
  if (own.has(name)) return true;
  const pids = await inOtherNamespaces(files);
  for (const pid of pids ?? []) if ((await readListeners(files, pid))?.has(name)) return true;
  return pids === null ? null : false;
}

/** One process in each network namespace other than ours; null if this user may not see them all. */
async function inOtherNamespaces(files: HostFiles): Promise<string[] | null> {
  const entries = await files.readdir('/proc').catch(unlessOurs);
  const found = new Map<string, string>();
  for (const name of [
    'self',
    ...(entries ?? []).flatMap((entry) => (/^\d+$/.test(entry.name) ? entry.name : [])),
  ]) {
    const seen = await files.stat(`/proc/${name}/ns/net`).catch(errorCode);
    if (seen === 'EACCES' || seen === 'EPERM') return null;
    if (seen !== null && typeof seen === 'object' && !found.has(seen.identity))
      found.set(seen.identity, name);
  }
  return entries && [...found.values()].filter((pid) => pid !== 'self');
}

/** The file names of the sockets on which the processes of a network namespace listen (proc(5), /proc/net/unix). */
async function readListeners(files: HostFiles, pid: string): Promise<ReadonlySet<string> | null> {
  const table = await readText(files, `/proc/${pid}/net/unix`).catch(unlessOurs);
  if (table === null) return null;
  const paths = [...table.matchAll(/^\w+: \w+ \w+ (\w+) \w+ \w+ +\d+ (.+)$/gm)].flatMap(
    ([, flags = '', path = '']) => (Number.parseInt(flags, 16) & ACCEPTS_CONNECTIONS ? [path] : []),
  );
  return new Set(paths.map(nameOf));
}

/** __SO_ACCEPTCON of the kernel. */
const ACCEPTS_CONNECTIONS = 0x10000;
