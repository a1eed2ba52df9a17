import type { AnyCommand } from '../command-line/commander.ts';
import { commandCalled, optionsOf, splitLine } from '../command-line/line.ts';
import { partsOf } from '../command-line/parts.ts';
import { type EndedRun, NOTHING_READ } from '../run/recording.ts';
import { recordedHosts } from './metrics.ts';
import { addRuns, readMetricsFile } from './metrics-file.ts';

/** Records that a run failed before it began, because its command line is wrong: a timer runs such a line every night. */

/** The run that a line stands for, even if the line is wrong. */
export interface RunOfLine extends Pick<EndedRun, 'command' | 'label'> {
  /** The file that the line names with `--metrics`; null: none, or it is a dry run. */
  readonly file: string | null;
  /** Whether a word of it may name another host. */
  readonly namesHosts: boolean;
}

/** Null if no command is called. */
export function runOfLine(program: AnyCommand, words: readonly string[]): RunOfLine | null {
  const line = splitLine(program, words);
  const command = line && commandCalled(program, line.command);
  if (!line || !command) return null;
  // options of the program may stand before the command
  const parts = partsOf(optionsOf(program, command), [...line.head, ...line.rest]);
  const values = new Map(
    parts
      .flatMap((part) => (part.kind === 'options' ? part.uses : []))
      .map(([option, value]) => [option.attributeName(), value] as const),
  );
  const hasHostWord = parts.some(({ kind, words: [word] }) => kind === 'operand' && word?.includes(':'));
  return {
    command: command.name(),
    label: values.get('label') ?? null,
    file: values.has('dryRun') ? null : (values.get('metrics') ?? null),
    namesHosts: values.has('host') || values.has('hostsFrom') || hasHostWord,
  };
}

/**
 * Writes it into the file that the line names with `--metrics`, if it names one. For hosts, which are not known then, the run has
 * failed on those that the file knows. `now`: seconds since the epoch. Never throws.
 */
export async function recordUnusableLine(
  program: AnyCommand,
  words: readonly string[],
  now: number,
): Promise<void> {
  const line = runOfLine(program, words);
  if (line === null || line.file === null) return;
  const { command, label, file, namesHosts } = line;
  const run = { command, label, succeeded: false, endedAt: now };
  try {
    const hosts = namesHosts ? recordedHosts(await readMetricsFile(file), run) : [null];
    await addRuns(
      file,
      hosts.map((host) => ({ host, run, reading: NOTHING_READ })),
    );
  } catch {
    // the failure to report is that of the command line
  }
}
