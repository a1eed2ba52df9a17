import type { HostFiles } from '../files.ts';
import { type Connection, throwLost } from './connection.ts';
import { printfBytes, shellWord } from './quoting.ts';
import { openRemote } from './remote-open.ts';
import { type RunScript, statScript } from './remote-script.ts';
import { failure, failureOf, parseStat, parseStatfs, STATFS_FORMAT } from './remote-stat.ts';

/**
 * HostFiles for a host that is reached over ssh: with its stat, readlink, dd and cat, those of coreutils or of busybox, in the kept
 * shell. Operations that are begun together are sent together, and cost one round trip.
 */

/** Seconds that an operation on a file may take: a server of network storage may be slow. */
const SECONDS = 45;

/** The most bytes of a small file. */
const MOST_BYTES = 16 * 1024 * 1024;

/** The files of that host. */
export function createRemoteFiles(connection: Connection): HostFiles {
  const run: RunScript = async (script, mostBytes = MOST_BYTES) => {
    const { code, stdout, stderr } = await connection.read(script, { mostBytes, seconds: SECONDS });
    if (code !== 0) throw failureOf(stderr.toString('utf8'));
    return stdout;
  };
  /** For a change that must not be made twice: the second one would fail, or be another one. */
  const change = async (script: string) => {
    const { code, stderr } = await connection
      .once(script, { mostBytes: MOST_BYTES, seconds: SECONDS })
      .catch(throwLost(connection));
    if (code !== 0) throw failureOf(stderr.toString('utf8'));
  };
  const stat = async (path: string) => {
    const found = parseStat((await run(statScript(path))).toString('latin1'));
    return found.device === null ? found : { ...found, ...(await contentOf(run, found.device)) };
  };
  const statfs = async (path: string) =>
    parseStatfs((await run(`stat -f -c '${STATFS_FORMAT}' -- ${shellWord(path)}`)).toString('latin1'));
  return {
    stat,
    statfs,
    capacity: async (path) => {
      const { sizeBytes, mostFreeBytes } = await statfs(path);
      return sizeBytes === 0 ? null : { sizeBytes, freeBytes: mostFreeBytes };
    },
    // readlink -f accepts a file that does not exist
    realpath: async (path) =>
      textOf(
        await run(`stat -L -c %i -- ${shellWord(path)} >/dev/null && readlink -f -- ${shellWord(path)}`),
      ),
    readdir: async (path) => entriesOf(await run(readdirScript(path))),
    read: (path) => run(`cat -- ${shellWord(path)}`),
    open: (path) => openRemote(run, path),
    checkWritable: (path) => check(run, path, writableScript(path)),
    checkOpensForWriting: (path) => check(run, path, opensScript(path)),
    write: (path, bytes, mode) =>
      change(
        `(set -C; ${printfBytes(bytes)} >${shellWord(path)}) && chmod ${mode.toString(8)} ${shellWord(path)}`,
      ),
    chmod: async (path, mode) => void (await run(`chmod ${mode.toString(8)} -- ${shellWord(path)}`)),
    // without -f, which says nothing of a file that is missing
    remove: (path) => change(`rm -- ${shellWord(path)} </dev/null`),
    removeDirectory: (path) => change(`rmdir -- ${shellWord(path)}`),
    // only commands that take no hosts use these
    create: unsupported,
    giveLike: unsupported,
    makeDirectory: unsupported,
    publish: unsupported,
  };
}

const unsupported = async (): Promise<never> => {
  throw failure('ENOSYS', 'this does not work on another host');
};

async function check(run: RunScript, path: string, script: string): Promise<void> {
  const said = textOf(await run(script));
  if (said !== '') throw failure(said, `${said}: ${path}`);
}

const textOf = (bytes: Buffer): string => bytes.toString('utf8').replace(/\n$/, '');

/**
 * The identity of the file that a loop device, or a partition of one, stands for (sysfs-block-loop); nothing for another device.
 */
async function contentOf(run: RunScript, device: string): Promise<{ readonly identity?: string }> {
  const sysfs = `/sys/dev/block/${device}`;
  for (const loop of [`${sysfs}/loop`, `${sysfs}/../loop`]) {
    const file = await run(`cat ${loop}/backing_file`).then(textOf, () => null);
    const found = file === null ? null : await run(statScript(file)).catch(() => null);
    if (found) return { identity: parseStat(found.toString('latin1')).identity };
  }
  return {};
}

/** Names end with a NUL, because they may contain any other byte. The first letter is f for a regular file that is no link. */
const readdirScript = (path: string): string =>
  [
    `ls -a -- ${shellWord(path)}/. >/dev/null && (cd ${shellWord(path)}/. && for f in * .[!.]* ..?*; do`,
    `if [ -f "$f" ] && [ ! -h "$f" ]; then printf 'f%s\\0' "$f"`,
    `elif [ -e "$f" ] || [ -h "$f" ]; then printf 'o%s\\0' "$f"; fi; done)`,
  ].join('\n');

const entriesOf = (bytes: Buffer) =>
  bytes
    .toString('utf8')
    .split('\0')
    .filter((entry) => entry !== '' && !entry.includes('/'))
    .map((entry) => ({ name: entry.slice(1), isFile: entry.startsWith('f') }));

/**
 * Prints the code of the error of access(2), which test(1) does not tell: to root, a file that may not be written to is on a
 * read-only file system, or it is immutable, which only opening it shows.
 */
const writableScript = (path: string): string => {
  const word = shellWord(path);
  return [
    `if [ -w ${word} ]; then :; elif [ ! -e ${word} ]; then stat -L -- ${word} >/dev/null`,
    `elif [ -f ${word} ] && m=$( (: >>${word}) 2>&1); then :`,
    `else case $m in *'Read-only file system'*) echo EROFS;; *'not permitted'*) echo EPERM;;`,
    `*) if [ "$(id -u)" = 0 ]; then echo EROFS; else echo EACCES; fi;; esac; fi`,
  ].join('\n');
};

/** Opens a regular file for writing, and writes nothing. GNU dd does not wait for a lease; busybox has no such option. */
const opensScript = (path: string): string => {
  const word = shellWord(path);
  return [
    `if [ ! -f ${word} ]; then stat -L -- ${word} >/dev/null`,
    `elif dd oflag=nonblock if=/dev/null of=/dev/null count=0 2>/dev/null; then`,
    `dd oflag=nonblock conv=notrunc,nocreat if=/dev/null of=${word} count=0`,
    `else (: >>${word}); fi`,
  ].join('\n');
};
