import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import pkg from '../package.json' with { type: 'json' };
import {
  type ArgumentDefinition,
  type Argument as ArgumentValue,
  COMMANDS,
  COMMON_FAILURES,
  type CommandDefinition,
  GLOBAL_OPTIONS,
  HELP,
  type OptionDefinition,
  shownCommands,
  VERSION,
  wholeOf,
} from './command-table.ts';
import { FAILURES, type FailureCode, KvmsnapError } from './errors.ts';
import type { ColorChoice } from './host/terminal.ts';
import { nearest } from './model/names.ts';
import { kvmsnapLine } from './model/quote.ts';
import type { Context, OutputFormat, Settings } from './run/context.ts';

/** The program: the table of commands as a command line, with its help. Runs nothing. */

/** Runs a command's action within a context made for these settings. */
export type Start = (settings: Settings, action: (ctx: Context) => Promise<void>) => Promise<void>;

/** Builds the program anew; `start` is given what to run. Throws CommanderError and KvmsnapError, never exits. */
export function createProgram(start: Start): Command {
  const program = new Command('kvmsnap')
    .description('Snapshots of libvirt VMs that you can trust.')
    .version(pkg.version, VERSION.flags, VERSION.help)
    .helpOption(HELP.flags, HELP.help)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined })
    .exitOverride();
  for (const option of globalOptions()) program.addOption(option);
  for (const definition of COMMANDS) addCommand(program, definition, start);
  program.on('command:*', ([word]: string[]) => unknownCommand(word ?? ''));
  return program;
}

function globalOptions(): Option[] {
  return GLOBAL_OPTIONS.map((definition) => {
    const option = toOption(definition);
    switch (option.attributeName()) {
      case 'output':
        return option.default('table');
      case 'json':
        return option.implies({ output: 'json' });
      case 'quiet':
        return option.implies({ output: 'name' });
      case 'color':
        return option.default('auto');
      default:
        return option;
    }
  });
}

function addCommand(program: Command, definition: CommandDefinition, start: Start): void {
  const command = program
    .command(definition.name, definition.hidden ? { hidden: true } : {})
    .summary(definition.summary)
    .description(wholeOf(definition))
    .addHelpText('after', () => helpEnd(definition));
  if (definition.alias) command.alias(definition.alias);
  for (const argument of definition.arguments) command.addArgument(toArgument(argument));
  for (const option of definition.options) command.addOption(toOption(option));
  command.exitOverride((error) => {
    throw Object.assign(error, { definition });
  });
  command.allowExcessArguments();
  command.action((...given: unknown[]) => {
    checkExcess(definition, command.args);
    const args = given.slice(0, definition.arguments.length) as ArgumentValue[];
    const names = args.filter((_, i) => definition.arguments[i]?.takes !== 'text');
    if (names.flat().includes(''))
      throw new KvmsnapError('usage', 'a VM or snapshot cannot have an empty name');
    const settings = settingsOf(program);
    if (settings.readonly) checkReadOnly(definition, command.opts());
    return start(settings, (ctx) => definition.run(ctx, args, command.opts()));
  });
}

/** Throws `usage` for what needs more than a read-only connection. */
function checkReadOnly(
  { name, needsWriting }: CommandDefinition,
  given: Readonly<Record<string, unknown>>,
): void {
  if (needsWriting === false) return;
  const [option] = needsWriting === true ? [] : needsWriting.filter((key) => given[key]);
  if (needsWriting !== true && option === undefined) return;
  const spelled =
    option === undefined ? '' : ` --${option.replace(/[A-Z]/g, (big) => `-${big.toLowerCase()}`)}`;
  throw new KvmsnapError(
    'usage',
    `'${name}${spelled}' needs more than the read-only connection of --readonly`,
    {
      hint: 'list, info, current, space, and check without --fix change nothing',
    },
  );
}

/** Throws `usage` for more arguments than the command takes; virsh takes a description there. */
function checkExcess({ name, arguments: known, options }: CommandDefinition, given: readonly string[]): void {
  if (known.some(({ syntax }) => syntax.includes('...')) || given.length <= known.length) return;
  const [expected, excess] = [given.slice(0, known.length), given.slice(known.length)];
  const isDescribed = options.some(({ flags }) => flags.includes('--description'));
  const command = kvmsnapLine(name, expected, '-d', excess.join(' '));
  throw new KvmsnapError(
    'usage',
    `too many arguments for '${name}': ${excess.map((word) => `'${word}'`).join(', ')}`,
    isDescribed
      ? { hint: 'a description comes with -d', command }
      : { hint: `kvmsnap ${name} --help shows its arguments and options` },
  );
}

function toArgument({ syntax, help, takes }: ArgumentDefinition): Argument {
  const argument = new Argument(syntax, help);
  return typeof takes === 'string' ? argument : argument.choices(takes);
}

function toOption({ flags, help, kind, takes = 'text' }: OptionDefinition): Option {
  const option = new Option(flags, help);
  if (typeof takes !== 'string') option.choices(takes);
  const { parseArg: check } = option;
  switch (kind) {
    case 'count':
      return option.argParser(parseCount);
    case 'jobs':
      return option.argParser(parseJobs);
    case 'duration':
      return option.argParser(parseDuration);
    case 'list':
      return option.argParser((value, before: readonly string[] = []) => [
        ...before,
        check ? check(value, value) : value,
      ]);
    default:
      return option;
  }
}

function parseJobs(text: string): number {
  const jobs = parseCount(text);
  if (jobs < 1) throw new InvalidArgumentError('At least 1 is wanted.');
  return jobs;
}

function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('A whole number from 0 on is wanted.');
  return Number(text);
}

/** A command's failures in the order of their exit codes. */
export function failuresOf({ failures }: CommandDefinition): FailureCode[] {
  return [...COMMON_FAILURES, ...failures].sort((a, b) => FAILURES[a].exitCode - FAILURES[b].exitCode);
}

function helpEnd(definition: CommandDefinition): string {
  const exits = failuresOf(definition).map(
    (code) => `  ${String(FAILURES[code].exitCode).padEnd(4)}${FAILURES[code].meaning}`,
  );
  const examples = definition.examples.map((line) => `  ${line}`);
  return ['', 'Exit status:', '  0   done, or nothing to do', ...exits, '', 'Examples:', ...examples].join(
    '\n',
  );
}

interface GlobalValues {
  readonly connect?: string;
  readonly output: OutputFormat;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly color: ColorChoice;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly verbose?: boolean;
  readonly readonly?: boolean;
  readonly timeout?: number;
  readonly wait?: number;
  readonly silent?: boolean;
}

function settingsOf(program: Command): Settings {
  const values = program.opts<GlobalValues>();
  checkOneFormat(program, values);
  return {
    connect: values.connect ?? null,
    output: values.output,
    color: values.color,
    yes: values.yes ?? false,
    dryRun: values.dryRun ?? false,
    verbose: values.verbose ?? false,
    readonly: values.readonly ?? false,
    timeout: values.timeout || null,
    wait: values.wait ?? 0,
    silent: values.silent ?? false,
  };
}

/** `--json` and `-q` are other words for `-o`, and of two different ones neither may win unseen. */
function checkOneFormat(program: Command, { output, json, quiet }: GlobalValues): void {
  const named = program.getOptionValueSource('output') === 'cli' ? output : null;
  const formats = new Set([named, json ? 'json' : null, quiet ? 'name' : null].filter((format) => format));
  if (formats.size > 1) {
    throw new KvmsnapError('usage', `one output format at a time, and not ${[...formats].join(' and ')}`);
  }
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600 };

/** `0`, `30`, `30s`, `10m`, `10min`, `2h` -> seconds. Throws commander's InvalidArgumentError. */
export function parseDuration(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(s|m|min|h)?$/.exec(text) ?? [];
  const seconds = Number(number) * (SECONDS[unit] ?? 1);
  if (!(seconds >= 0) || seconds > 2_000_000)
    throw new InvalidArgumentError('A duration is wanted, such as 30s, 10min or 2h, of 23 days at most.');
  return seconds;
}

/** What virsh does by a `snapshot-` command of another name. */
const VIRSH_NAMES: Readonly<Record<string, string>> = {
  'snapshot-dumpxml': 'info --xml',
  'snapshot-edit': 'describe',
  'snapshot-parent': 'info',
};

/** Someone who comes from virsh types its names: `snapshot-delete`, and `snapshot-delet`. */
function unknownCommand(word: string): never {
  const names = shownCommands().flatMap(({ name, alias }) => (alias ? [name, alias] : [name]));
  const meant = VIRSH_NAMES[word] ?? nearest(word.replace(/^snapshot-/, ''), names);
  throw new KvmsnapError('usage', `there is no command '${word}'`, {
    hint: meant ? `did you mean 'kvmsnap ${meant}'?` : 'kvmsnap --help lists the commands',
  });
}

/**
 * What commander found wrong with the command line `words`, in this program's form; null when it was help or the version.
 */
export function usageError(error: CommanderError, words: readonly string[]): KvmsnapError | null {
  if (error.exitCode === 0) return null;
  if (error.code === 'commander.help')
    return new KvmsnapError('usage', 'no command given', { hint: 'kvmsnap --help lists the commands' });
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  // the command whose arguments they are; a global option is wrong before commander comes to that
  const { definition } = error as CommanderError & { readonly definition?: CommandDefinition };
  const { operand } = spoken(words);
  const command =
    definition ?? COMMANDS.find(({ name, alias = name }) => operand === name || operand === alias);
  const [, option] = /^unknown option '(.+)'$/.exec(message) ?? [];
  return new KvmsnapError('usage', message, {
    hint:
      (option && shortened(option, command)) ??
      suggestion?.replace(/^\((.*)\)$/, '$1').replace(/^Did/, 'did') ??
      `kvmsnap ${command?.name ?? 'COMMAND'} --help shows its arguments and options${
        option && command?.arguments.length ? '; a name that begins with a dash comes behind --' : ''
      }`,
  });
}

/** An option of which only the beginning was typed: commander goes by the number of wrong letters alone. */
function shortened(option: string, command: CommandDefinition | undefined): string | null {
  const known = [...(command?.options ?? []), ...GLOBAL_OPTIONS].map(
    ({ flags }) => new Option(flags).long ?? '',
  );
  const [meant, ...others] = option.startsWith('--') ? known.filter((long) => long.startsWith(option)) : [];
  return meant !== undefined && others.length === 0 ? `did you mean ${meant}?` : null;
}

/** What the global options among the words say of how an error is shown, also where the rest cannot be parsed. */
export function spokenOptions(words: readonly string[]): {
  readonly json: boolean;
  readonly color: ColorChoice;
} {
  const { values } = spoken(words);
  const color = values.get('color');
  return {
    json: values.has('json') || values.get('output') === 'json',
    color: color === 'always' || color === 'never' ? color : 'auto',
  };
}

/** The values of the global options, and the first word that belongs to none. */
function spoken(words: readonly string[]) {
  const values = new Map<string, string>();
  const options = GLOBAL_OPTIONS.map(({ flags }) => new Option(flags));
  const rest = [...words];
  let operand: string | undefined;
  for (let word = rest.shift(); word !== undefined && word !== '--'; word = rest.shift()) {
    if (!word.startsWith('-')) operand ??= word;
    for (const [option, value] of spokenBy(options, word))
      values.set(option.attributeName(), value ?? (option.required ? (rest.shift() ?? '') : 'yes'));
  }
  return { values, operand };
}

/** The global options of one word, as commander reads it: `--long`, `--long=value`, `-abvalue`; null: no value in it. */
function spokenBy(options: readonly Option[], word: string): [Option, string | null][] {
  const [, long, value = null] = /^(--[^=]+)(?:=(.*))?$/s.exec(word) ?? [];
  if (long) return options.flatMap((option) => (option.long === long ? [[option, value]] : []));
  const found: [Option, string | null][] = [];
  for (let i = 1; word.startsWith('-') && i < word.length; i++) {
    const option = options.find(({ short }) => short === `-${word[i]}`);
    if (!option) break;
    const tail = word.slice(i + 1);
    found.push([option, option.required && tail !== '' ? tail : null]);
    if (option.required) break;
  }
  return found;
}

export { CommanderError };
