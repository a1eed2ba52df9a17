import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { parseCount, repeated, unfit } from '../command-line/values.ts';
import { leftoversOption } from '../delete/leftovers-option.ts';
import { parseSpan, type Span } from '../model/input/span.ts';
import { labelProblem } from '../model/labels.ts';
import { type FreeMin, parseFreeMin } from './free-space-policy.ts';

/** The options that say what a prune keeps. */

/** The heading of these options in help. */
const RETENTION = 'Retention:';

/** `help`: what the option does in this command. */
export const labelOption = (help: string) =>
  new MeantOption('--label <label>', 'label', help).helpGroup(RETENTION).argParser(parseLabel);

/** Other snapshots that a prune considers. */
export const matchOption = () =>
  new MeantOption(
    '--match <pattern>',
    'snapshot-pattern',
    'also consider snapshots with matching names',
  ).helpGroup(RETENTION);

/** The keep rules, and the options that go with them. */
export const withRules = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup(RETENTION)
    .option('--keep-last <n>', 'keep the newest <n> snapshots', parseCount)
    .option('--keep-hourly <n>', 'keep the newest snapshot of each of the last <n> hours', parseCount)
    .option('--keep-daily <n>', 'keep the newest snapshot of each of the last <n> days', parseCount)
    .option('--keep-weekly <n>', 'keep the newest snapshot of each of the last <n> weeks', parseCount)
    .option('--keep-monthly <n>', 'keep the newest snapshot of each of the last <n> months', parseCount)
    .option('--keep-yearly <n>', 'keep the newest snapshot of each of the last <n> years', parseCount)
    .option(
      '--keep-within <span>',
      'keep snapshots younger than this: 36h, 14d, 8w, 6mo, 2y',
      parseKeepWithin,
    )
    .addOption(
      repeated('--keep <pattern>', 'snapshot-pattern', "keep snapshots named like 'before-*' (repeatable)"),
    )
    .option('--allow-empty', 'allow deleting even the newest snapshot')
    .option('--free-min <space>', 'delete the oldest until this much is free: 20%, 50G', parseSpace)
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
