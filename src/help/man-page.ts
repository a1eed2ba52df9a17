import type { AnyCommand } from '../command-line/commander.ts';
import { PROGRAM_EXAMPLES } from '../command-line/help.ts';
import { syntaxOf } from '../command-line/meaning.ts';
import { Verb } from '../command-line/verb.ts';
import { exitRows } from './exit-rows.ts';
import { TOPICS } from './topics.ts';

/** Makes the man page and the tables of the manual from the definition of the program. */

interface Entry {
  readonly flags: string;
  readonly help: string;
}

type Option = AnyCommand['options'][number];
type Argument = AnyCommand['registeredArguments'][number];

const optionEntry = ({ flags, description }: Option): Entry => ({ flags, help: description });
const argumentEntry = (argument: Argument): Entry => ({
  flags: syntaxOf(argument),
  help: argument.description,
});

/** The commands for users, without the hidden ones and without commander's own `help`. */
const shownCommands = (program: AnyCommand): Verb[] =>
  program
    .createHelp()
    .visibleCommands(program)
    .filter((command) => command instanceof Verb);

/** The global options without --version, which no command has. */
const globalsOf = ({ options }: AnyCommand): Entry[] =>
  options.filter(({ long }) => long !== '--version').map(optionEntry);

/** What applies to all commands. */
const DESCRIPTION = [
  'kvmsnap takes, lists, reverts and deletes snapshots of libvirt VMs, in place of virsh snapshot-*. Before each action it ' +
    'checks that the action can work. Afterwards it verifies the result in libvirt and on every disk, and reports success ' +
    'only if both agree. Data goes to stdout, messages go to stderr.',
  'Name a VM by its name or its UUID. Where several VMs are possible, you can also use a pattern as in a shell: * stands ' +
    'for any text, ? for any character, [a-c] for one of these characters, [!a-c] for any other character. The pattern must ' +
    'match the whole name. If a VM has exactly the name of the pattern, only this VM is selected.',
  'One word can name a VM and a snapshot: VM/NAME, as kvmsnap list --all -q prints it.',
];

/** Man page in roff, section 1 (macros: man(7)). */
export function manPage(program: AnyCommand): string {
  return [
    `.TH KVMSNAP 1 "" "kvmsnap ${program.version()}" "User Commands"`,
    '.SH NAME',
    'kvmsnap \\- take, list, revert and delete snapshots of libvirt VMs',
    '.SH SYNOPSIS',
    '.B kvmsnap',
    '[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    ...DESCRIPTION.flatMap((paragraph, i) => [...(i === 0 ? [] : ['.PP']), roff(paragraph)]),
    '.SH EXAMPLES',
    ...PROGRAM_EXAMPLES.flatMap(([line, purpose]) => term({ flags: line, help: purpose })),
    '.SH COMMANDS',
    ...shownCommands(program).flatMap((command) => [
      `.SS ${roff(`kvmsnap ${usage(command)}`)}`,
      ...(command.insteadOfArguments === null
        ? []
        : [roff(`Or: kvmsnap ${command.name()} ${command.insteadOfArguments}`), '.PP']),
      roff(command.description()),
      ...[...command.registeredArguments.map(argumentEntry), ...command.options.map(optionEntry)].flatMap(
        term,
      ),
      '.PP',
      'Examples:',
      '.EX',
      ...command.examples.map(roff),
      '.EE',
      ...seeAlso(command.topics),
    ]),
    '.SH OPTIONS',
    ...globalsOf(program).flatMap(term),
    '.SH EXIT STATUS',
    ...exitRows().flatMap(([code, meaning]) => term({ flags: code, help: meaning })),
    '.SH ENVIRONMENT',
    '\\fBLIBVIRT_DEFAULT_URI\\fR and \\fBVIRSH_DEFAULT_CONNECT_URI\\fR set the connection, as for virsh.',
    '\\fBNO_COLOR\\fR and \\fBFORCE_COLOR\\fR switch colors off and on.',
    '\\fBTZ\\fR sets the time zone of the times that are shown, and of the periods of keep rules.',
    '.SH FILES',
    ...term({
      flags: '$XDG_STATE_HOME/kvmsnap, ~/.local/state/kvmsnap',
      help: 'the metadata of a snapshot as it was before hold, unhold, describe, check --fix or create --redefine changed it',
    }),
    '.SH SEE ALSO',
    ...TOPICS.map(({ name }) => pageOf(name, ',')),
    '.BR virsh (1),',
    '.BR qemu-img (1)',
    '',
  ].join('\n');
}

/** Tables in Markdown, by the name of the comment that marks their place in a page. */
export function manualTables(program: AnyCommand): Readonly<Record<string, string>> {
  const commands = shownCommands(program);
  return {
    commands: table(
      ['command', 'what it does'],
      commands.map((command) => [code(`kvmsnap ${usage(command)}`), command.summary()]),
    ),
    options: table(
      ['option', 'of', 'meaning'],
      [...optionRows(commands), ...globalsOf(program).map(({ flags, help }) => [code(flags), 'all', help])],
    ),
    exits: table(
      ['exit', '`error.code`', 'meaning'],
      exitRows().map(([exit, meaning, name]) => [exit, name && code(name), meaning]),
    ),
  };
}

/** One row for each option; an option that several commands have is one row. */
function optionRows(commands: readonly Verb[]): string[][] {
  const rows = new Map<string, { readonly entry: Entry; readonly of: string[] }>();
  for (const command of commands) {
    for (const entry of command.options.map(optionEntry)) {
      const key = `${entry.flags} ${entry.help}`;
      const row = rows.get(key) ?? { entry, of: [] };
      row.of.push(command.name());
      rows.set(key, row);
    }
  }
  return [...rows.values()].map(({ entry: { flags, help }, of }) => [code(flags), of.join(', '), help]);
}

function usage(command: Verb): string {
  const names = [command.name(), ...command.aliases()].join('|');
  return [names, ...command.registeredArguments.map(syntaxOf)].join(' ');
}

/** The man page of a topic, and what follows it in the sentence. */
const pageOf = (topic: string, end: string): string => `.BR ${roff(`kvmsnap-${topic}`)} (7)${end}`;

/** The line that refers to the man pages of these topics. */
const seeAlso = (topics: readonly string[]): string[] =>
  topics.length === 0
    ? []
    : ['.PP', 'See also:', ...topics.map((topic, i) => pageOf(topic, i === topics.length - 1 ? '.' : ','))];

const term = ({ flags, help }: Entry): string[] => ['.TP', `.B ${roff(flags)}`, roff(help)];

/** Escapes what has a meaning in roff: backslashes, hyphens, and a dot or quote at the start of a line. */
const roff = (text: string): string =>
  text
    .replace(/\\/g, '\\e')
    .replace(/-/g, '\\-')
    .replace(/^([.'])/, '\\&$1');

const code = (text: string): string => `\`${text}\``;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
