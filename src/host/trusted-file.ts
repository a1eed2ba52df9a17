import { stat } from 'node:fs/promises';
import { commandLine } from '../model/quote.ts';

/** Why a file must not be used for what it says to be run; null: only the user and root can have written it. */
export type TrustProblem = {
  readonly why: string;
  /** What to do about it, as the details of a failure. */
  readonly advice: { readonly hint: string; readonly command?: string };
} | null;

/** Looks at the files and directories, in this order; `uid`: the number of the user. Throws if one cannot be read. */
export async function trustProblem(paths: readonly string[], uid: number): Promise<TrustProblem> {
  for (const path of paths) {
    const { mode, uid: owner } = await stat(path);
    if (owner !== 0 && owner !== uid)
      return {
        why: `${path} belongs to another user`,
        advice: { hint: 'use a copy that belongs to you or to root, in such a directory' },
      };
    if (mode & 0o022)
      return {
        why: `others may write to ${path} (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
        advice: {
          hint: 'if you trust its content, take the write permission from other users',
          command: commandLine('chmod', ['go-w', path]),
        },
      };
  }
  return null;
}
