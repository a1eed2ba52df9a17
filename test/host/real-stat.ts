// stat(1) as the program runs it.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Not synchronous: a file system of the test itself has to answer meanwhile. */
export const realStat = {
  stat: async (args: readonly string[]) => ({
    stdout: (await promisify(execFile)('stat', args)).stdout,
    stderr: '',
    exitCode: 0,
  }),
};
