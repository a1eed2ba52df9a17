import { readdir, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';

/** The aliases of ssh_config (ssh_config(5)), to be offered by name; what they stand for is a matter of ssh. */

/** ssh itself stops at 16. */
const MOST_DEPTH = 4;
/** More files than these are not read for a key that a user presses. */
const MOST_FILES = 64;

/** Where ssh looks, by the home directory of the user's entry in passwd. */
export const sshConfigFiles = (): readonly string[] => [
  join(userInfo().homedir, '.ssh/config'),
  '/etc/ssh/ssh_config',
];

/** The aliases in these files, each once, in their order: names after `Host` that are no patterns. What cannot be read has none. */
export async function sshAliases(files: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    files.map((path) => aliasesIn(path, dirname(path), MOST_DEPTH).catch((): readonly string[] => [])),
  );
  return [...new Set(found.flat())];
}

/** `base`: where the paths of `Include` begin. */
async function aliasesIn(path: string, base: string, depth: number): Promise<readonly string[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').map(wordsOf);
  const found = await Promise.all(
    lines.map(async ([keyword = '', ...words]): Promise<readonly string[]> => {
      if (/^host$/i.test(keyword)) return words.filter((word) => !/[*?!]/.test(word));
      if (!/^include$/i.test(keyword) || depth === 0) return [];
      const included = (await Promise.all(words.map((word) => filesOf(word, base)))).flat();
      const aliases = included.map((each) =>
        aliasesIn(each, base, depth - 1).catch((): readonly string[] => []),
      );
      return (await Promise.all(aliases)).flat();
    }),
  );
  return found.flat();
}

/** A keyword and its words; a `=` may stand between them, and quotes around a word. */
const wordsOf = (line: string): string[] =>
  /^\s*#/.test(line)
    ? []
    : (line.replace(/^\s*(\w+)\s*=\s*/, '$1 ').match(/"[^"]*"|\S+/g) ?? []).map((word) =>
        word.replaceAll('"', ''),
      );

/** The files of a word of `Include`, in which the last part may have `*` and `?`. */
async function filesOf(word: string, base: string): Promise<string[]> {
  const home = word.replace(/^~(?=\/)/, userInfo().homedir);
  const path = isAbsolute(home) ? home : join(base, home);
  if (!/[*?]/.test(path)) return [path];
  const pattern = new RegExp(
    `^${basename(path)
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  );
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter((name) => !name.startsWith('.') && pattern.test(name))
    .sort()
    .slice(0, MOST_FILES)
    .map((name) => join(dirname(path), name));
}
