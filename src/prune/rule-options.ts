import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { parseCount, repeated, unfit } from '../command-line/values.ts';
import { leftoversOption } from '../delete/leftovers-option.ts';
import { parseSpan, type Span } from '../model/input/span.ts';
import { labelProblem } from '../model/labels.ts';
import { type FreeMin, parseFreeMin } from './free-space-policy.ts';

/** The options that say what a prune keeps. */

/** `help`: what the option does in this command, and the heading of its group. */
export const labelOption = (help: string, heading: string) =>
  new MeantOption('--label <label>', 'label', help).helpGroup(heading).argParser(parseLabel);

/** Other snapshots that a prune considers. */
export const matchOption = (heading: string) =>
  new MeantOption(
    '--match <pattern>',
    'snapshot-pattern',
    "also consider snapshots named like 'old-*'",
  ).helpGroup(heading);

/** The keep rules, and the options that go with them, below one heading in help. */
export const withRules = <Args extends unknown[], Values extends OptionValues>(
  heading: string,
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup(heading)
    .option('--keep-last <n>', 'keep the newest <n> snapshots', parseCount)
    .option('--keep-hourly <n>', 'keep <n> hourly snapshots: the newest of each hour', parseCount)
    .option('--keep-daily <n>', 'keep <n> daily snapshots: the newest of each day', parseCount)
    .option('--keep-weekly <n>', 'keep <n> weekly snapshots: the newest of each week', parseCount)
    .option('--keep-monthly <n>', 'keep <n> monthly snapshots: the newest of each month', parseCount)
    .option('--keep-yearly <n>', 'keep <n> yearly snapshots: the newest of each year', parseCount)
    .option('--keep-within <span>', 'keep all taken up to this long before the newest: 14d', parseKeepWithin)
    .addOption(
      repeated('--keep <pattern>', 'snapshot-pattern', "keep snapshots named like 'before-*' (repeatable)"),
    )
    .option('--allow-empty', 'allow deleting even the newest snapshot')
    .option('--free-min <space>', 'delete until this is free where the images are: 20%, 50G', parseSpace)
    .addOption(leftoversOption())
    .optionsGroup('');

export type RuleOptions = OptionsOf<ReturnType<typeof withRules<[], Record<never, never>>>>;

export interface ScopeOptions extends RuleOptions {
  readonly label?: string | undefined;
  readonly match?: string | undefined;
}

/** Parses a label, with which names of snapshots can begin. Throws for any other text. */
export function parseLabel(text: string): string {
  const problem = labelProblem(text);
  if (problem !== null) throw unfit(problem);
  return text;
}

function parseKeepWithin(text: string): Span {
  const span = parseSpan(text);
  if (span === null)
    throw unfit('expected a time span', 'write for example 90min, 36h, 14d, 8w, 6mo (months; also 6m) or 2y');
  return span;
}

function parseSpace(text: string): FreeMin {
  const space = parseFreeMin(text);
  if (space === null)
    throw unfit(
      'expected an amount of space',
      'write a part of the file system, such as 20%, or bytes with their unit: 500M, 50G, 1.5T',
    );
  return space;
}
