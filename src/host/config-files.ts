import { readdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { type TrustProblem, trustProblem } from './trusted-file.ts';

/** The configuration of the user and of the host. What may be read from it is run, so only they may have written it. */

export interface ConfigFiles {
  /** The directories, the user's first. */
  readonly directories: readonly string[];
  /**
   * The text of the first of these files that exists; null: none. `problem`: why it must not be used, because somebody
   * else can change it.
   */
  read(name: string): Promise<ConfigFile | null>;
  /** All of these files that exist, the user's first. */
  readAll(name: string): Promise<readonly ConfigFile[]>;
  /** The names of the files with this ending, without it, sorted. A directory that cannot be read has none. */
  names(ending: string): Promise<readonly string[]>;
}

interface ConfigFile {
  readonly path: string;
  readonly text: string;
  readonly problem: TrustProblem;
}

/** `env`: the user's environment; `uid`: the number of the user. */
export function createConfigFiles(env: NodeJS.ProcessEnv, uid: number): ConfigFiles {
  const { HOME: home, XDG_CONFIG_HOME: config } = env;
  const own = config && isAbsolute(config) ? config : home && join(home, '.config');
  const directories = [...(own ? [join(own, 'kvmsnap')] : []), '/etc/kvmsnap'];
  const readIn = async (directory: string, name: string): Promise<ConfigFile | null> => {
    const path = join(directory, name);
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
      throw error;
    });
    return text === null ? null : { path, text, problem: await trustProblem([path, dirname(path)], uid) };
  };
  return {
    directories,
    async read(name) {
      for (const directory of directories) {
        const found = await readIn(directory, name);
        if (found) return found;
      }
      return null;
    },
    async readAll(name) {
      const found = await Promise.all(directories.map((directory) => readIn(directory, name)));
      return found.filter((file) => file !== null);
    },
    async names(ending) {
      const files = await Promise.all(directories.map((directory) => readdir(directory).catch(() => [])));
      const names = files.flat().filter((file) => file.endsWith(ending));
      return [...new Set(names.map((file) => file.slice(0, -ending.length)))].sort();
    },
  };
}
