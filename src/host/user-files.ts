import { accessSync, constants, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KvmsnapError } from '../errors.ts';

/** Files and programs that the user names on the command line. They are where kvmsnap runs, not on the host of the VMs. */

/** The text of the file that `--xml` names. Throws `usage` for one that cannot be read. */
export async function readXmlFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot read the file of --xml: ${error.message}`);
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
