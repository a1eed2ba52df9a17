import { KvmsnapError } from '../../errors.ts';
import { outdatedBeside, type SavedXml } from '../saved-xml.ts';
import { type Connection, throwLost } from './connection.ts';
import { printfBytes, shellWord } from './quoting.ts';

/**
 * The saved XML of the user on a host that is reached over ssh: where kvmsnap on that host would keep it, because virsh there reads
 * it. The text travels in the script, and no command line has it.
 */

const LIMITS = { mostBytes: 16 * 1024 * 1024, seconds: 45 };

/** As SavedXml; `keep` also throws `unreachable`. */
export const createRemoteSavedXml = (connection: Connection): SavedXml => ({
  async keep(name, text) {
    const script = keepScript(name, Buffer.from(text));
    const { code, stdout, stderr } = await connection.once(script, LIMITS).catch(throwLost(connection));
    const [directory = '', ...names] = stdout.toString('utf8').split('\0');
    if (code !== 0 || !directory.startsWith('/'))
      throw new KvmsnapError(
        'check',
        `cannot write ${name} on ${connection.name}, so nothing was done: ${stderr.toString('utf8').trim()}`,
        { hint: 'on that host, the user needs a home directory that it can write to' },
      );
    const outdated = outdatedBeside(name, names).map((old) => shellWord(`${directory}/${old}`));
    if (outdated.length > 0) await remove(connection, outdated);
    return `${directory}/${name}`;
  },
  drop: (path) => remove(connection, [shellWord(path)]),
});

/** Files that stay because the host is away are removed by a later change of the VM. */
const remove = (connection: Connection, words: readonly string[]): Promise<void> =>
  connection.read(`rm -f -- ${words.join(' ')}`, LIMITS).then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof KvmsnapError) || error.code !== 'unreachable') throw error;
    },
  );

/** Prints the directory and the names in it, each with a NUL at its end. */
const keepScript = (name: string, text: Uint8Array): string =>
  `(d=\${XDG_STATE_HOME:-$HOME/.local/state}/kvmsnap
mkdir -p -- "$d" && chmod 700 -- "$d" && cd -- "$d" && (set -C; ${printfBytes(text)} >${shellWord(name)}) && printf '%s\\0' "$d" *)`;
