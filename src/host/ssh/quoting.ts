/**
 * One word for a POSIX shell that reads it from a script: between single quotes, in which nothing has a meaning. Line feeds and other
 * control characters stay as they are, because the script travels on stdin, and not through a login shell.
 */
export const shellWord = (word: string): string =>
  /^[A-Za-z0-9_@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The words of a command. */
export const shellLine = (words: readonly string[]): string => words.map(shellWord).join(' ');

/** The bytes for `printf` in a script, as octal escapes: a script cannot contain a NUL. */
export const printfBytes = (bytes: Uint8Array): string =>
  `printf '${[...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}'`;
