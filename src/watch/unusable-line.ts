import type { AnyCommand } from '../command-line/commander.ts';
import { commandCalled, optionsOf, splitLine } from '../command-line/line.ts';
import { partsOf } from '../command-line/parts.ts';
import { NOTHING_READ } from './metrics.ts';
import { addRun } from './metrics-file.ts';

/** Records that a run failed before it began, because its command line is wrong: a timer runs such a line every night. */

/** Writes it into the file that the line names with `--metrics`, if it names one. `now`: seconds since the epoch. Never throws. */
export async function recordUnusableLine(
  program: AnyCommand,
  words: readonly string[],
  now: number,
): Promise<void> {
  const line = splitLine(program, words);
  const command = line && commandCalled(program, line.command);
  if (!line || !command) return;
  const values = new Map(
    partsOf(optionsOf(program, command), line.rest)
      .flatMap((part) => (part.kind === 'options' ? part.uses : []))
      .map(([option, value]) => [option.attributeName(), value] as const),
  );
  const file = values.get('metrics');
  if (!file || values.has('dryRun')) return;
  const run = { command: command.name(), label: values.get('label') ?? null, succeeded: false, endedAt: now };
  // the failure to report is that of the command line
  await addRun(file, run, NOTHING_READ).catch(() => undefined);
}
