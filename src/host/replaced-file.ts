import { randomBytes } from 'node:crypto';
import { access, chmod, constants, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** A file of the user that is replaced as a whole, so that a reader sees either the old or the new text. */

/** The text of the file; null if there is none. Throws the error of the system, also if it cannot be replaced. */
export async function readReplaceable(path: string): Promise<string | null> {
  await access(dirname(path), constants.W_OK | constants.X_OK);
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (found === null) return null;
  if (!found.isFile()) throw new Error(`${path} is not a regular file`);
  return readFile(path, 'utf8');
}

/** Writes the text beside the file and renames it, with these permissions whatever the umask. Throws the error of the system. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  // with another ending, so that whoever reads all files of a kind does not read this one
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.new`);
  try {
    await writeFile(beside, text, { flag: 'wx' });
    await chmod(beside, mode);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
