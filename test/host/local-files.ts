// The files of this host, with stat(1) as the program runs it.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createLocalFiles, type RunStat } from '../../src/host/local-files.ts';

/** Not synchronous: a file system of the test itself has to answer meanwhile. */
export const runStat: RunStat = async (args) => ({
  stdout: (await promisify(execFile)('stat', args)).stdout,
  stderr: '',
  exitCode: 0,
});

export const localFiles = createLocalFiles(runStat);
