import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/** The processes of this host, as /proc shows them. */

/** A process; its id alone may be given to another one later. */
export interface ProcessMark {
  readonly id: number;
  /** When it was started, in clock ticks since the start of the host (proc_pid_stat(5), field 22). */
  readonly startTicks: string;
}

/** Whether the process of the mark exists. */
export const isAlive = async ({ id, startTicks }: ProcessMark): Promise<boolean> =>
  (await markOf(id))?.startTicks === startTicks;

/** The mark of the process with that id; null if there is none. */
export const markOf = async (id: number): Promise<ProcessMark | null> =>
  parseMark(id, await readFile(`/proc/${id}/stat`, 'latin1').catch(() => null));

/** Whether a process with this text of /proc/PID/stat is the one of the mark. */
export const isMarkOf = ({ id, startTicks }: ProcessMark, text: string): boolean =>
  Number.parseInt(text, 10) === id && parseMark(id, text)?.startTicks === startTicks;

function parseMark(id: number, text: string | null): ProcessMark | null {
  // the second field is the name of the program, in parentheses, and may contain spaces
  const startTicks = text
    ?.slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .at(19);
  const isZombie = text?.slice(text.lastIndexOf(')') + 2).startsWith('Z');
  return startTicks === undefined || isZombie ? null : { id, startTicks };
}

/** The processes that have a path below the directory on their command line, each with the name of its program. */
export async function processesWith(
  directory: string,
): Promise<{ readonly id: number; readonly tool: string }[]> {
  const found: { id: number; tool: string }[] = [];
  for (const id of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(`${directory}/`))
      found.push({ id: Number(id), tool: basename(line.split('\0')[0] ?? '') });
  }
  return found;
}
