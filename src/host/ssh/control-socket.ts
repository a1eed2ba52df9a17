import { createHash, randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvmsnapError } from '../../errors.ts';

/** Where the sockets of the shared connections are: only this user may reach them. */

/** The most bytes of a path: that of a Unix socket has 107, and ssh appends 17 while it makes one (ssh's mux.c). */
const MOST_BYTES = 90;

export interface ControlSocket {
  readonly path: string;
  exists(): boolean;
  /** A path for a new master. Two at once would otherwise disturb each other: the second one could not share its connection. */
  fresh(): string;
  /** The new master's socket takes the place of the other. */
  adopt(fresh: string): void;
}

/** For one destination, as the user writes it. Throws `check` if there is no directory for it. */
export function controlSocket(destination: string, env: NodeJS.ProcessEnv, uid: number): ControlSocket {
  const name = createHash('sha256').update(destination).digest('hex').slice(0, 16);
  const directory = socketDirectory(env, uid);
  const path = join(directory, name);
  return {
    path,
    exists: () => existsSync(path),
    fresh: () => `${path}.${randomBytes(3).toString('hex')}`,
    adopt: (fresh) => renameSync(fresh, path),
  };
}

const longest = (directory: string): number => Buffer.byteLength(join(directory, '0'.repeat(16 + 7)));

function socketDirectory(env: NodeJS.ProcessEnv, uid: number): string {
  const runtime = env['XDG_RUNTIME_DIR'];
  const wanted = [
    ...(runtime?.startsWith('/') ? [join(runtime, 'kvmsnap')] : []),
    join('/tmp', `kvmsnap-ssh-${uid}`),
  ];
  for (const directory of wanted)
    if (longest(directory) <= MOST_BYTES && isOurs(directory, uid)) return directory;
  try {
    return mkdtempSync(join(longest(tmpdir()) + 20 <= MOST_BYTES ? tmpdir() : '/tmp', 'kvmsnap-ssh-'));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new KvmsnapError('check', `there is no private directory for the sockets of ssh: ${detail}`, {
      hint: 'set XDG_RUNTIME_DIR to a directory that only you can use',
    });
  }
}

/** Whether it is a directory of this user that nobody else can use; it is made if it does not exist. */
function isOurs(directory: string, uid: number): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch {
    // it exists, or it cannot be made
  }
  try {
    const found = lstatSync(directory);
    return found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0;
  } catch {
    return false;
  }
}
