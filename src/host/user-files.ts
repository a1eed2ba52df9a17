import { accessSync, constants, createReadStream, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { KvmsnapError } from '../errors.ts';

/** Files and programs that the user names on the command line. They are where kvmsnap runs, not on the host of the VMs. */

/** The text of the file that the command line names as `what`; `-` is stdin. Throws `usage` for one that cannot be read. */
export async function readUserFile(path: string, what: string): Promise<string> {
  // a socket, too, can be read, but not opened by its path
  const reading = path === '-' ? text(createReadStream('', { fd: 0 })) : readFile(path, 'utf8');
  return reading.catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot read ${what}: ${error.message}`);
  });
}

/**
 * Looks for a program as execvp(3) does: a word with a slash is a path, any other is looked for in the directories of `searchPath`.
 * Throws `not-found` if there is none that can be run.
 */
export function findProgram(program: string, searchPath: string): void {
  const paths = program.includes('/')
    ? [program]
    : searchPath.split(':').map((directory) => join(directory || '.', program));
  if (program !== '' && paths.some(isRunnable)) return;
  throw new KvmsnapError('not-found', `there is no program '${program}'; nothing was done`, {
    hint: 'the command is run without a shell; for a line of shell, write: sh -c LINE',
  });
}

function isRunnable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
