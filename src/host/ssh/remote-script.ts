import { shellWord } from './quoting.ts';
import { STAT_FORMAT } from './remote-stat.ts';

/** Runs a script that prints little; returns its output, throws the error that its messages name. */
export type RunScript = (script: string, mostBytes?: number) => Promise<Buffer>;

/** Prints the status of a file, with links followed. */
export const statScript = (path: string): string => `stat -L -c '${STAT_FORMAT}' -- ${shellWord(path)}`;
