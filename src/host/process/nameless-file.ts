import { fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvmsnapError } from '../../errors.ts';

/** A file for the output of a tool that must be able to write also after kvmsnap was killed. */

/**
 * A file without a name, which disappears when it is closed, and a function that reads its first bytes: `most` at the most. Throws
 * `check` if none can be made.
 */
export function openNamelessFile(most: number): { readonly file: number; readonly text: () => string } {
  const file = createNamelessFile();
  const text = () => {
    const bytes = Buffer.alloc(Math.min(fstatSync(file).size, most));
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0));
  };
  return { file, text };
}

function createNamelessFile(): number {
  try {
    const directory = mkdtempSync(join(tmpdir(), 'kvmsnap-'));
    try {
      return openSync(join(directory, 'said'), 'wx+', 0o600);
    } finally {
      rmSync(directory, { recursive: true });
    }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new KvmsnapError('check', `cannot write a file in ${tmpdir()}: ${detail}`, {
      hint: 'set TMPDIR to a directory that you can write to',
    });
  }
}
