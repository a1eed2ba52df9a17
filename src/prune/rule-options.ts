import { type CommandOf, Option, type OptionsOf, type OptionValues } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { parseCount, repeated, unfit } from '../command-line/values.ts';
import { leftoversOption } from '../delete/leftovers-option.ts';
import { labelProblem } from '../model/labels.ts';
import { parseSpan, type Span } from './calendar.ts';
import { type FreeMin, parseFreeMin } from './free-space-policy.ts';

/** The options by which a command line says what a prune keeps. */

/** Their heading in a help. */
const GROUP = 'Retention:';

export const labelOption = () =>
  new Option('--label <label>', 'the label in the names: <label>-20261123T030000Z')
    .helpGroup(GROUP)
    .argParser(parseLabel);

/** Which snapshots a prune is about, beside those with the label. */
export const matchOption = () =>
  new MeantOption('--match <pattern>', 'snapshot-pattern', 'also snapshots of these names').helpGroup(GROUP);

/** The rules of retention. */
export const withRules = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup(GROUP)
    .option('--keep-last <n>', 'keep the newest n', parseCount)
    .option('--keep-hourly <n>', 'keep the newest of each of the last n hours that have one', parseCount)
    .option('--keep-daily <n>', 'the same of days, by the local clock', parseCount)
    .option('--keep-weekly <n>', 'the same of ISO weeks (from Monday)', parseCount)
    .option('--keep-monthly <n>', 'the same of months', parseCount)
    .option('--keep-yearly <n>', 'the same of years', parseCount)
    .option(
      '--keep-within <span>',
      'keep what is younger, counted back from the newest: 36h, 14d, 8w, 6mo, 2y (6m is months too)',
      parseKeepWithin,
    )
    .addOption(repeated('--keep <pattern>', 'snapshot-pattern', 'keep the names that match; repeatable'))
    .option('--allow-empty', 'do not keep the newest one against all rules')
    .option(
      '--free-min <space>',
      'delete what no rule keeps, oldest first, only until so much is free: 20%, 50G',
      parseSpace,
    )
    .addOption(leftoversOption())
    .optionsGroup('');

export type RuleOptions = OptionsOf<ReturnType<typeof withRules<[], Record<never, never>>>>;

export interface ScopeOptions extends RuleOptions {
  readonly label?: string | undefined;
  readonly match?: string | undefined;
}

/** A label that names of snapshots can begin with. */
export function parseLabel(text: string): string {
  const problem = labelProblem(text);
  if (problem !== null) throw unfit(`It cannot be used as a label: ${problem}.`);
  return text;
}

function parseKeepWithin(text: string): Span {
  const span = parseSpan(text);
  if (span === null)
    throw unfit('It is not a span of time.', 'such as 90min, 36h, 14d, 8w, 6mo (months; also 6m), 2y');
  return span;
}

function parseSpace(text: string): FreeMin {
  const space = parseFreeMin(text);
  if (space === null)
    throw unfit(
      'It is not an amount of space.',
      'a part of the file system, such as 20%, or bytes with their unit: 500M, 50G, 1.5T',
    );
  return space;
}
