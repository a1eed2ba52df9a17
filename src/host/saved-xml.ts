import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { KvmsnapError } from '../errors.ts';

/**
 * The files in which kvmsnap saves XML of libvirt before it changes that. They may contain passwords of a stored
 * definition, so only this user can read them, and only those of the last changes of each VM are kept.
 */

export interface SavedXml {
  /**
   * Writes a new file into kvmsnap's state directory and returns its path; throws `check` if that fails. The name is
   * UUID.TIME.ENDING. For the VM with that UUID, the files of the last changes (by their times) are kept and older ones
   * are removed.
   */
  keep(name: string, text: string): Promise<string>;
  /** Removes such a file if it is not needed any more. */
  drop(path: string): Promise<void>;
}

/** How many changes of a VM are kept. */
const CHANGES_KEPT = 5;

/** The saved XML of this user. `env`: the user's environment. */
export const createSavedXml = (env: NodeJS.ProcessEnv): SavedXml => ({
  keep: (name, text) => keep(stateDirectory(env), name, text),
  drop: (path) => rm(path, { force: true }),
});

/**
 * $XDG_STATE_HOME/kvmsnap, by default ~/.local/state/kvmsnap; without HOME, the home directory of the passwd entry is
 * used.
 */
const stateDirectory = (env: NodeJS.ProcessEnv): string =>
  join(env['XDG_STATE_HOME'] || join(env['HOME'] || userInfo().homedir, '.local', 'state'), 'kvmsnap');

async function keep(directory: string, name: string, text: string): Promise<string> {
  const path = join(directory, name);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // an existing directory may be readable by others
    await chmod(directory, 0o700);
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    const outdated = outdatedBeside(name, await readdir(directory));
    await Promise.all(outdated.map((old) => rm(join(directory, old), { force: true })));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new KvmsnapError('check', `cannot write ${path}, so nothing was done: ${detail}`, {
      hint: 'set XDG_STATE_HOME to a directory that you can write to',
    });
  }
  return path;
}

/** The files of the same VM that belong to none of its last changes. Files with the same time belong to one change. */
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
