import { readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';

/** The configuration of the user and of the host. What may be read from it is run, so only they may have written it. */

export interface ConfigFiles {
  /** The directories, the user's first. */
  readonly directories: readonly string[];
  /**
   * The text of the first of these files that exists; null: none. `problem`: why it must not be used, because somebody
   * else can change it.
   */
  read(
    name: string,
  ): Promise<{ readonly path: string; readonly text: string; readonly problem: Problem } | null>;
}

type Problem = { readonly why: string; readonly path: string } | null;

/** `env`: the user's environment; `uid`: the number of the user. */
export function createConfigFiles(env: NodeJS.ProcessEnv, uid: number): ConfigFiles {
  const { HOME: home, XDG_CONFIG_HOME: config } = env;
  const own = config && isAbsolute(config) ? config : home && join(home, '.config');
  const directories = [...(own ? [join(own, 'kvmsnap')] : []), '/etc/kvmsnap'];
  return {
    directories,
    async read(name) {
      for (const directory of directories) {
        const path = join(directory, name);
        const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
          throw error;
        });
        if (text !== null) return { path, text, problem: await problemOf([path, dirname(path)], uid) };
      }
      return null;
    },
  };
}

async function problemOf(paths: readonly string[], uid: number): Promise<Problem> {
  for (const path of paths) {
    const { mode, uid: owner } = await stat(path);
    if (owner !== 0 && owner !== uid) return { path, why: `${path} belongs to another user` };
    if (mode & 0o022)
      return {
        path,
        why: `others may write to ${path} (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
      };
  }
  return null;
}
