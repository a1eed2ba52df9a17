import { readFile } from 'node:fs/promises';
import { KvmsnapError } from '../errors.ts';

/** Files that the user has named on the command line: they lie where kvmsnap runs, not on the host of the VMs. */

/** The text of the file that `--xml` names. Throws `usage` for one that cannot be read. */
export async function readXmlFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot read the file of --xml: ${error.message}`);
  });
}
