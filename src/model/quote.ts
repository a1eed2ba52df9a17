/** Quoting for lines that a user pastes into a shell, and for virsh's own parser. */

/**
 * Characters that a terminal does not show literally (controls, line ends and text-direction overrides), so that they
 * cannot be pasted.
 */
export const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/**
 * One word for a shell, quoted if necessary: as `'...'`, or as `$'...'` (bash, zsh, ksh) if it contains a character
 * that cannot be pasted.
 */
export function quote(word: string): string {
  return UNPRINTABLE.test(word) ? `$'${escaped(word)}'` : virshQuote(word);
}

/** Words that need no quotes. zsh would replace `=ls` by the path of a command. */
const PLAIN = /^(?!=)[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * One word for virsh's parser, which takes `'...'` literally; a quote inside is `'\\''` (vshCommandStringGetArg in
 * vsh.c).
 */
export function virshQuote(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r' };

/** Each unprintable character as the bytes of its UTF-8, whatever the shell's locale. */
const escaped = (word: string): string =>
  word
    .replace(/[\\']/g, '\\$&')
    .replace(new RegExp(UNPRINTABLE, 'gu'), (char) => SHORT[char] ?? bytesOf(char).join(''));

const bytesOf = (char: string): string[] =>
  [...new TextEncoder().encode(char)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`);

/** A command line that can be pasted into a shell. */
export function commandLine(file: string, args: readonly string[]): string {
  return [file, ...args].map(quote).join(' ');
}

/** A kvmsnap command line for a hint, with `--` before names that look like an option. */
export function kvmsnapLine(command: string, names: readonly string[], ...options: string[]): string {
  const separator = names.some((name) => name.startsWith('-')) ? ['--'] : [];
  return commandLine('kvmsnap', [command, ...options, ...separator, ...names]);
}

/**
 * How a hint names a VM for virsh: a name that virsh would mistake for an option, an id or a UUID is replaced (hazard
 * 1).
 */
export function virshWord(domain: { readonly name: string; readonly uuid: string }): string {
  return /^[A-Za-z_]/.test(domain.name) && domain.name.length !== 36 ? quote(domain.name) : domain.uuid;
}
