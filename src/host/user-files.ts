import { readFile } from 'node:fs/promises';
import { KvmsnapError } from '../errors.ts';

/** Files that the user names on the command line. They are where kvmsnap runs, not on the host of the VMs. */

/** The text of the file that `--xml` names. Throws `usage` for one that cannot be read. */
export async function readXmlFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot read the file of --xml: ${error.message}`);
  });
}
