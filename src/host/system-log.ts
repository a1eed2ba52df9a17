import { userInfo } from 'node:os';
import { commandLine } from '../model/quote.ts';
import { type LogEntry, logLine } from './log-entry.ts';
import { runAndForget } from './process/exec.ts';

/** The system's log, as far as it can be reached with logger(1). It is a record, and never a reason to fail. */

/** Runs logger(1) on another host. */
export type RunLogger = (args: readonly string[]) => Promise<unknown>;

/** logger(1) cuts a line after 1 KiB, and the user and the command come last. */
const MOST_RESULT = 300;

/**
 * `env` and `words`: of the user's command line. `result`: `done`, or why the action failed. `elsewhere` runs logger with the same
 * arguments on the host of the VM.
 */
export async function recordAction(
  entry: LogEntry,
  result: string,
  { env, words }: { readonly env: NodeJS.ProcessEnv; readonly words: readonly string[] },
  elsewhere: RunLogger = async () => undefined,
): Promise<void> {
  const line = logLine(entry, result.slice(0, MOST_RESULT), {
    user: userName(),
    sudoUser: env['SUDO_USER'] || null,
    commandLine: commandLine('kvmsnap', words),
  });
  const args = ['-t', 'kvmsnap', '--', line];
  await Promise.all([runAndForget('logger', args), elsewhere(args).catch(() => undefined)]);
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'unknown'; // a user whom /etc/passwd does not know
  }
}
