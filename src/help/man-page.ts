import type { AnyCommand } from '../command-line/commander.ts';
import { Verb } from '../command-line/verb.ts';
import { exitRows } from './exit-rows.ts';

/** The program -> its man page and the tables of the manual. */

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

/** `<vm>`, `[names...]` */
function syntaxOf(argument: Argument): string {
  const words = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${words}>` : `[${words}]`;
}

/** The commands that are for users; commander's own `help` is none of the program. */
const shownCommands = (program: AnyCommand): Verb[] =>
  program
    .createHelp()
    .visibleCommands(program)
    .filter((command) => command instanceof Verb);

/** The global options; --version is no option of a command. */
const globalsOf = ({ options }: AnyCommand): Entry[] =>
  options.filter(({ long }) => long !== '--version').map(optionEntry);

/** What no single command says. */
const DESCRIPTION = [
  'Checks before each snapshot, revert and deletion whether it can work, runs virsh, and says done only when libvirt and ' +
    'every disk are as they should be. Data goes to stdout, all else to stderr.',
  "VMs are meant by name or UUID, and where several may be, by a pattern of the shell's kind: * is any text, ? any " +
    'character, [a-c] one of these, [!a-c] one of the others. A pattern is about the whole name, and a VM of exactly ' +
    'that name wins over it.',
];

/** Man page in roff, section 1 (macros: man(7)). */
export function manPage(program: AnyCommand): string {
  return [
    `.TH KVMSNAP 1 "" "kvmsnap ${program.version()}" "User Commands"`,
    '.SH NAME',
    'kvmsnap \\- snapshots of libvirt VMs that you can trust',
    '.SH SYNOPSIS',
    '.B kvmsnap',
    '[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    ...DESCRIPTION.flatMap((paragraph, i) => [...(i === 0 ? [] : ['.PP']), roff(paragraph)]),
    '.SH COMMANDS',
    ...shownCommands(program).flatMap((command) => [
      `.SS ${roff(`kvmsnap ${usage(command)}`)}`,
      roff(command.description()),
      ...[...command.registeredArguments.map(argumentEntry), ...command.options.map(optionEntry)].flatMap(
        term,
      ),
      '.PP',
      'Examples:',
      '.EX',
      ...command.examples.map(roff),
      '.EE',
    ]),
    '.SH OPTIONS',
    ...globalsOf(program).flatMap(term),
    '.SH EXIT STATUS',
    ...exitRows().flatMap(([code, meaning]) => term({ flags: code, help: meaning })),
    '.SH ENVIRONMENT',
    'virsh decides by \\fBLIBVIRT_DEFAULT_URI\\fR and \\fBVIRSH_DEFAULT_CONNECT_URI\\fR what to connect to.',
    '\\fBNO_COLOR\\fR and \\fBFORCE_COLOR\\fR are heeded.',
    'Times, and the periods of a prune, are those of \\fBTZ\\fR or else of the system.',
    '.SH FILES',
    ...term({
      flags: '$XDG_STATE_HOME/kvmsnap, ~/.local/state/kvmsnap',
      help: 'what libvirt knew of a snapshot before hold, unhold, describe, check --fix and create --redefine changed it',
    }),
    '.SH SEE ALSO',
    '.BR virsh (1),',
    '.BR qemu-img (1)',
    '',
  ].join('\n');
}

/** Tables in Markdown, by the name that marks their place in a page. */
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

/** The same option of several commands is one row. */
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

const term = ({ flags, help }: Entry): string[] => ['.TP', `.B ${roff(flags)}`, roff(help)];

/** Backslashes and hyphens mean something to roff, and so does a line's first dot or quote. */
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
