import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { KvmsnapError } from '../errors.ts';

/**
 * The files that kvmsnap keeps: what libvirt knew before it was changed. They may hold the passwords of a stored definition,
 * so only this user can read them, and of each VM only those of its last changes are kept.
 */

export interface StateFiles {
  /**
   * Writes a new file into kvmsnap's state directory; returns its path, or throws `check`. The name is UUID.TIME.ENDING: of
   * the VM of that UUID the files of the last changes (by their times) are kept, and older ones removed.
   */
  keep(name: string, text: string): Promise<string>;
  /** Removes one of those, which came to nothing or has served. */
  drop(path: string): Promise<void>;
}

/** How many changes of a VM are kept. */
const CHANGES_KEPT = 5;

/** Of this user, whose environment it is. */
export const createStateFiles = (env: NodeJS.ProcessEnv): StateFiles => ({
  keep: (name, text) => keep(stateDirectory(env), name, text),
  drop: (path) => rm(path, { force: true }),
});

/** $XDG_STATE_HOME/kvmsnap, by default ~/.local/state/kvmsnap; without HOME the home is the passwd entry's. */
const stateDirectory = (env: NodeJS.ProcessEnv): string =>
  join(env['XDG_STATE_HOME'] || join(env['HOME'] || userInfo().homedir, '.local', 'state'), 'kvmsnap');

async function keep(directory: string, name: string, text: string): Promise<string> {
  const path = join(directory, name);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // one that was there already may be open to others
    await chmod(directory, 0o700);
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    const outdated = outdatedBeside(name, await readdir(directory));
    await Promise.all(outdated.map((old) => rm(join(directory, old), { force: true })));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new KvmsnapError('check', `cannot write ${path}, and nothing is done without it: ${detail}`, {
      hint: 'name a directory that you can write to in XDG_STATE_HOME',
    });
  }
  return path;
}

/** The files of the same VM that belong to none of its last changes; several files of one time are one change. */
export function outdatedBeside(name: string, all: readonly string[]): string[] {
  const own = partsOf(name);
  const beside = all.map(partsOf).flatMap((parts) => (own && parts?.uuid === own.uuid ? [parts] : []));
  const times = [...new Set(beside.map(({ time }) => time))].sort((a, b) => b - a);
  const kept = new Set(times.slice(0, CHANGES_KEPT));
  return beside.filter(({ time }) => !kept.has(time)).map(({ file }) => file);
}

function partsOf(file: string) {
  const [, uuid, time] = /^([0-9a-f-]{36})\.(\d+)\./.exec(file) ?? [];
  return uuid === undefined ? null : { file, uuid, time: Number(time) };
}
