import { FAILURES } from '../errors.ts';
import type { AnyCommand, Help } from './commander.ts';
import { syntaxOf } from './meaning.ts';
import { Verb } from './verb.ts';

/**
 * What --help prints. A command has its examples before its options, the options in groups, and a reference for what all
 * commands share.
 */

/** The heading of the options that exist because virsh has them; this group comes last. */
export const AS_IN_VIRSH = 'As in virsh:';

/** The heading of the options that select VMs; arguments stand with them. */
export const WHICH_VMS = 'Which VMs:';

/** What a new user needs first. */
export const PROGRAM_EXAMPLES = [
  ['kvmsnap create-as web-1 before-upgrade', 'take a snapshot'],
  ['kvmsnap revert web-1 before-upgrade', 'revert to it'],
  ['kvmsnap create --all --label nightly --keep-daily 7', 'every night: all VMs, keep 7'],
  ['kvmsnap check web-1 --fix', 'find and fix problems'],
] as const;

type Formatted = readonly (readonly [term: string, description: string])[];

/** The help of the program or of one of its commands, wrapped at the width of `helper`. */
export function formatHelp(command: AnyCommand, helper: Help): string {
  const parts = command instanceof Verb ? verbParts(command, helper) : programParts(command, helper);
  return [usageOf(command, helper), describe(command, helper), ...parts]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');
}

/**
 * The line of usage; a second one if something may stand in place of the arguments. commander knows only of some arguments that
 * they are needed.
 */
function usageOf(command: AnyCommand, helper: Help): string {
  const usage = helper.commandUsage(command);
  const upTo = (words: string): string => usage.replace(/ \[options\].*$/, ` [options] ${words}`);
  const hasArguments = command.registeredArguments.length > 0;
  const first = `Usage: ${hasArguments ? upTo(command.registeredArguments.map(syntaxOf).join(' ')) : usage}`;
  const other = command instanceof Verb ? command.insteadOfArguments : null;
  return other === null ? first : `${first}\n       ${upTo(other)}`;
}

const describe = (command: AnyCommand, helper: Help): string =>
  helper.boxWrap(helper.commandDescription(command), helper.helpWidth ?? 80);

function verbParts(verb: Verb, helper: Help): string[] {
  const options = helper.visibleOptions(verb).filter(({ long }) => long !== '--help');
  const groups = grouped(options, ({ helpGroupHeading }) => helpGroupHeading ?? 'Options:');
  const last = groups.filter(([heading]) => heading === AS_IN_VIRSH);
  const names = argumentsOf(verb, helper);
  const selects = groups.some(([heading]) => heading === WHICH_VMS);
  const asList = ([heading, group]: [string, AnyCommand['options']]) =>
    listed(heading, [...(heading === WHICH_VMS ? names : []), ...optionsOf(group, helper)], helper);
  return [
    ['Examples:', ...verb.examples.map((line) => pastable(line, helper.helpWidth ?? 80))].join('\n'),
    listed('Arguments:', selects ? [] : names, helper),
    ...groups.filter((group) => !last.includes(group)).map(asList),
    listed(
      seeAlso(verb),
      [
        ['kvmsnap help options', 'common options: -q, --json, --dry-run ...'],
        ['kvmsnap help exit-codes', `exit codes, here ${endsOf(verb)}`],
      ],
      helper,
    ),
    ...last.map(asList),
  ];
}

/** The heading with the pages of the manual, in one line, because the help of create has no room for another. */
function seeAlso({ topics: [first, ...others] }: Verb): string {
  if (first === undefined) return 'See also:';
  return `See also: kvmsnap help ${first}${others.length === 0 ? '' : ` (or ${others.join(', ')})`}`;
}

/** The exit codes of a command. */
const endsOf = ({ failures, ownFailuresExit }: Verb): string =>
  ownFailuresExit === null
    ? inRanges([0, ...failures.map((code) => FAILURES[code].exitCode)])
    : `that of COMMAND; ${ownFailuresExit} if kvmsnap fails`;

/** `[0, 1, 2, 5, 124]` -> `0-2, 5, 124`; the numbers are sorted. */
function inRanges(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const range = ranges.at(-1);
    if (range?.[1] === number - 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
}

function programParts(program: AnyCommand, helper: Help): string[] {
  const verbs = helper.visibleCommands(program).filter((each) => each instanceof Verb);
  return [
    ...grouped(verbs, ({ group }) => `${group}:`).map(([heading, group]) =>
      listed(
        heading,
        group.map((each) => [[each.name(), ...each.aliases()].join(', '), each.summary()]),
        helper,
      ),
    ),
    examples(helper),
    globalOptions(program, helper),
    listed(
      'See also:',
      [
        ['kvmsnap COMMAND --help', 'show the help of one command'],
        ['kvmsnap help nightly', 'show a topic of the manual'],
        ['kvmsnap help', 'list all topics'],
      ],
      helper,
    ),
  ];
}

/** The examples with their purposes in a second column; where there is no room for it, each purpose stands above its line. */
function examples(helper: Help): string {
  const width = helper.helpWidth ?? 80;
  const list = listed('Examples:', PROGRAM_EXAMPLES, helper);
  if (list.split('\n').every((line) => line.length <= width)) return list;
  const lines = PROGRAM_EXAMPLES.map(([line, purpose]) => `  # ${purpose}\n${pastable(line, width)}`);
  return ['Examples:', ...lines].join('\n');
}

/** A command line, indented, and continued by backslashes where it is wider. */
function pastable(line: string, width: number): string {
  const lines: string[] = [];
  for (const word of line.match(/(?:"[^"]*"|'[^']*'|\S)+/g) ?? []) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 3 <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${last === undefined ? '  ' : '      '}${word}`);
  }
  return lines.join(' \\\n');
}

/** The items by their heading; the headings are in the order of their first items. */
function grouped<Item>(items: readonly Item[], headingOf: (item: Item) => string): [string, Item[]][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) groups.set(headingOf(item), [...(groups.get(headingOf(item)) ?? []), item]);
  return [...groups];
}

/** The list of the options that every command has. */
export const globalOptions = (program: AnyCommand, helper: Help): string =>
  listed('Common options:', optionsOf(helper.visibleOptions(program), helper), helper);

const optionsOf = (options: AnyCommand['options'], helper: Help): Formatted =>
  options.map((option) => [helper.optionTerm(option), option.description]);

const argumentsOf = (verb: Verb, helper: Help): Formatted =>
  helper.visibleArguments(verb).map((argument) => [helper.argumentTerm(argument), argument.description]);

/** A heading and its entries in two columns; '' if there are no entries. */
export function listed(heading: string, entries: Formatted, helper: Help): string {
  if (entries.length === 0) return '';
  const width = Math.max(...entries.map(([term]) => term.length));
  const title = helper.boxWrap(heading, helper.helpWidth ?? 80);
  return [title, ...entries.map(([term, text]) => helper.formatItem(term, width, text, helper))].join('\n');
}
