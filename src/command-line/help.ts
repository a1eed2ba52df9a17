import { FAILURES } from '../errors.ts';
import type { AnyCommand, Help } from './commander.ts';
import { Verb } from './verb.ts';

/** What --help prints: examples before options, options in groups, and what all commands have in common by reference. */

/** The heading of what is there for those who come from virsh; it comes last. */
export const AS_IN_VIRSH = 'As in virsh:';

/** The first hour with kvmsnap. */
const PROGRAM_EXAMPLES = [
  ['kvmsnap check web-1', 'will snapshots of web-1 work?'],
  ['kvmsnap create-as web-1 before-upgrade', 'take one'],
  ['kvmsnap revert web-1 before-upgrade', 'go back to it'],
  ['kvmsnap create --all --label nightly --keep-daily 7', 'every night, from cron'],
] as const;

type Formatted = readonly (readonly [term: string, description: string])[];

/** Of the program, or of one of its commands; wrapped at the width of `helper`. Each line ends without blanks. */
export function formatHelp(command: AnyCommand, helper: Help): string {
  const parts = command instanceof Verb ? verbParts(command, helper) : programParts(command, helper);
  return [`Usage: ${helper.commandUsage(command)}`, describe(command, helper), ...parts]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n');
}

const describe = (command: AnyCommand, helper: Help): string =>
  helper.boxWrap(helper.commandDescription(command), helper.helpWidth ?? 80);

function verbParts(verb: Verb, helper: Help): string[] {
  const options = helper.visibleOptions(verb).filter(({ long }) => long !== '--help');
  const groups = grouped(options, ({ helpGroupHeading }) => helpGroupHeading ?? 'Options:');
  const last = groups.filter(([heading]) => heading === AS_IN_VIRSH);
  const ends = [0, ...verb.failures.map((code) => FAILURES[code].exitCode)].join(' ');
  return [
    ['Examples:', ...verb.examples.map((line) => `  ${line}`)].join('\n'),
    listed('Arguments:', argumentsOf(verb, helper), helper),
    ...[...groups.filter((group) => !last.includes(group)), ...last].map(([heading, group]) =>
      listed(heading, optionsOf(group, helper), helper),
    ),
    `Options of every command: kvmsnap help options\nExit codes ${ends}: kvmsnap help exit-codes`,
  ];
}

function programParts(program: AnyCommand, helper: Help): string[] {
  const verbs = helper.visibleCommands(program).filter((each) => each instanceof Verb);
  return [
    listed('Examples:', PROGRAM_EXAMPLES, helper),
    ...grouped(verbs, ({ group }) => `${group}:`).map(([heading, group]) =>
      listed(
        heading,
        group.map((each) => [[each.name(), ...each.aliases()].join(', '), each.summary()]),
        helper,
      ),
    ),
    globalOptions(program, helper),
    'kvmsnap COMMAND --help explains a command, and kvmsnap help lists the topics.',
  ];
}

/** The items by their heading, in the order in which the headings come first. */
function grouped<Item>(items: readonly Item[], headingOf: (item: Item) => string): [string, Item[]][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) groups.set(headingOf(item), [...(groups.get(headingOf(item)) ?? []), item]);
  return [...groups];
}

/** The options that stand with every command. */
export const globalOptions = (program: AnyCommand, helper: Help): string =>
  listed('Options of every command:', optionsOf(helper.visibleOptions(program), helper), helper);

const optionsOf = (options: AnyCommand['options'], helper: Help): Formatted =>
  options.map((option) => [helper.optionTerm(option), option.description]);

const argumentsOf = (verb: Verb, helper: Help): Formatted =>
  helper
    .visibleArguments(verb)
    .map((argument) => [helper.argumentTerm(argument), helper.argumentDescription(argument)]);

/** A heading and its entries, in two columns. '' where there is none. */
export function listed(heading: string, entries: Formatted, helper: Help): string {
  if (entries.length === 0) return '';
  const width = Math.max(...entries.map(([term]) => term.length));
  return [heading, ...entries.map(([term, text]) => helper.formatItem(term, width, text, helper))].join('\n');
}
