import pkg from '../package.json' with { type: 'json' };
import { checkLine } from './command-line/check-line.ts';
import { type AnyCommand, CommanderError } from './command-line/commander.ts';
import { bareProgram, settingsOf } from './command-line/global-options.ts';
import { formatHelp } from './command-line/help.ts';
import { isVirshOption } from './command-line/parts.ts';
import { errorStyleOf, type Spoken, spokenBy } from './command-line/spoken.ts';
import { type Program, Verb } from './command-line/verb.ts';
import { exitCodeOf, KvmsnapError, SIGNAL_FAILURES } from './errors.ts';
import type { Context, Settings } from './run/context.ts';

/** Defines the program: its commands, each loaded when it is called, and what they share. Runs nothing. */

/** Runs a command's action within a context made for these settings. */
export type Start = (
  settings: Settings,
  action: (ctx: Context) => Promise<void> | Promise<number>,
) => Promise<void>;

type Definition = (program: Program) => Verb;

interface Listed {
  /** The name, and other names. */
  readonly names: readonly [string, ...string[]];
  readonly load: () => Promise<Definition>;
  /** Not for users: left out of help, man page, manual and completion. */
  readonly hidden?: true;
}

/** Defining all of them would take a tenth of the start time of Node.js. */
const COMMANDS: readonly Listed[] = [
  { names: ['create-as'], load: async () => (await import('./create/command.ts')).createAs },
  { names: ['create'], load: async () => (await import('./create/command.ts')).create },
  { names: ['revert'], load: async () => (await import('./revert/command.ts')).revert },
  { names: ['try'], load: async () => (await import('./try/command.ts')).tryCommand },
  { names: ['list', 'ls'], load: async () => (await import('./show/command.ts')).list },
  { names: ['info'], load: async () => (await import('./show/command.ts')).info },
  { names: ['current'], load: async () => (await import('./show/command.ts')).current },
  { names: ['export'], load: async () => (await import('./export/command.ts')).exportCommand },
  { names: ['clone'], load: async () => (await import('./clone/command.ts')).cloneCommand },
  { names: ['open'], load: async () => (await import('./open/command.ts')).openCommand },
  { names: ['verify'], load: async () => (await import('./verify/command.ts')).verifyCommand },
  { names: ['space'], load: async () => (await import('./space/command.ts')).space },
  { names: ['delete', 'rm'], load: async () => (await import('./delete/command.ts')).deleteSnapshots },
  { names: ['prune'], load: async () => (await import('./prune/command.ts')).prune },
  { names: ['hold'], load: async () => (await import('./describe/command.ts')).hold },
  { names: ['unhold'], load: async () => (await import('./describe/command.ts')).unhold },
  { names: ['describe'], load: async () => (await import('./describe/command.ts')).describe },
  { names: ['check'], load: async () => (await import('./check/command.ts')).check },
  { names: ['merge'], load: async () => (await import('./merge/command.ts')).merge },
  { names: ['history'], load: async () => (await import('./history/command.ts')).history },
  { names: ['policy'], load: async () => (await import('./policy/command.ts')).policy },
  { names: ['timer'], load: async () => (await import('./timer/command.ts')).timer },
  { names: ['completion'], load: async () => (await import('./completion/command.ts')).completion },
  { names: ['help'], load: async () => (await import('./help/command.ts')).help },
  { names: ['complete'], load: async () => (await import('./completion/command.ts')).complete, hidden: true },
  { names: ['ansible'], load: async () => (await import('./ansible/command.ts')).ansible, hidden: true },
  { names: ['manual'], load: async () => (await import('./help/command.ts')).manual, hidden: true },
];

/** A command line with the program that parses it. */
export interface CommandLine {
  readonly program: AnyCommand;
  readonly spoken: Spoken;
  /** Parses the line and runs the command. Throws CommanderError and KvmsnapError, and never exits. */
  run(): Promise<void>;
  /** The exit code for any thrown value, as the command that is called has it. */
  exitCodeOf(error: unknown): number;
}

/**
 * Builds the program with the commands that a line with these words can need. `start` receives the action to run; help
 * is `helpWidth` columns wide. `isOfOneHost`: the hosts that the line names were chosen already, and this is for one of them.
 */
export async function createProgram(
  words: readonly string[],
  start: Start,
  helpWidth = 80,
  isOfOneHost = false,
): Promise<CommandLine> {
  const program = bareProgram('kvmsnap', pkg.version);
  program
    .description(
      'Take, list, revert and delete snapshots of libvirt VMs. kvmsnap checks before it acts, and verifies the result afterwards.',
    )
    .usage('<command> [vm] [name] [options]')
    .helpCommand(false)
    .configureHelp({ formatHelp, minWidthToWrap: 20 })
    .configureOutput({ outputError: () => undefined, getOutHelpWidth: () => helpWidth })
    .exitOverride()
    .hook('preAction', (_, command) => {
      if (command instanceof Verb) checkLine(command, program.opts());
    });
  program.on('command:*', ([word = '']: string[]) => {
    throw new CommanderError(2, 'commander.unknownCommand', word);
  });
  const spoken = spokenBy(program.createHelp().visibleOptions(program), words);
  let understood = words;
  const parts: Program = {
    run: (action) => start(settingsOf(program), action),
    words: () => understood,
    again: async (line, change = (ctx) => ctx) => {
      let code = 0;
      const passOn: Start = (settings, action) =>
        start(settings, async (ctx) => {
          code = (await action(change(ctx))) || 0;
          return code;
        });
      await (await createProgram(line, passOn, helpWidth, isOfOneHost)).run();
      return code;
    },
    check: (line) => checkOnly(line, helpWidth),
    hosts: {
      listed: async ({ configFiles }) => (await import('./hosts/choose-hosts.ts')).knownHosts(configFiles),
      look: async (...request) => (await import('./hosts/look-at-hosts.ts')).lookAtHosts(...request),
    },
    whole: async () => (await createProgram([], start, helpWidth)).program,
  };
  for (const { load, hidden = false } of neededBy(spoken)) {
    const define = await load();
    program.addCommand(define(parts).copyInheritedSettings(program), { hidden });
  }
  const isCalled = (each: AnyCommand): boolean => each.name() === spoken.operand;
  const called = program.commands.find(isCalled);
  const ownExit = called instanceof Verb ? called.ownFailuresExit : null;
  return {
    program,
    spoken,
    run: async () => {
      understood = await understand(program, spoken, words);
      if (isOfOneHost || !understood.some(mayNameHost)) return runLine(program, spoken, understood);
      const { runOverHosts } = await import('./hosts/over-hosts.ts');
      const again = async (line: readonly string[], start: Start) =>
        (await createProgram(line, start, helpWidth, true)).run();
      await runOverHosts({ program, words: understood, start, again }).catch(withLine(program, understood));
    },
    exitCodeOf: (error) => (ownExit === null || isSignal(error) ? exitCodeOf(error) : ownExit),
  };
}

/** Parses a line without running it. Throws KvmsnapError. */
async function checkOnly(words: readonly string[], helpWidth: number): Promise<void> {
  const line = await createProgram(words, async () => undefined, helpWidth);
  try {
    await line.run();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw (await import('./command-line/usage-error.ts')).usageError(error, line.program, line.spoken);
  }
}

const isSignal = (error: unknown): boolean =>
  error instanceof KvmsnapError && Object.values(SIGNAL_FAILURES).some((code) => code === error.code);

/** The words of the line with kvmsnap's own words for those of virsh. */
async function understand(
  program: AnyCommand,
  { operand }: Spoken,
  words: readonly string[],
): Promise<readonly string[]> {
  const isPlain = operand === undefined || (isListed(operand) && !words.some(isVirshOption));
  return isPlain ? words : (await import('./command-line/understand.ts')).understand(program, words);
}

async function runLine(program: AnyCommand, spoken: Spoken, words: readonly string[]): Promise<void> {
  // commander prints the help on stderr if there is no command; a plugin prints one line and nothing else
  if (errorStyleOf(spoken).format === 'nagios') program.configureOutput({ writeErr: () => undefined });
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    await withLine(program, words)(error);
  }
}

/** Throws the failure again, with the line that was meant if it knows one. */
const withLine =
  (program: AnyCommand, words: readonly string[]) =>
  async (error: unknown): Promise<never> => {
    if (!(error instanceof KvmsnapError) || !error.meant) throw error;
    throw (await import('./command-line/line.ts')).withMeantLine(program, words, error, error.meant);
  };

/** Whether a word may name a host: `--host`, `--hosts-from`, `HOST:VM`, and nothing that is a URI. */
const mayNameHost = (word: string): boolean => /^--hosts?\b|^[^-:/ ][^:/ ]*:(?!\/\/)./.test(word);

const isListed = (word: string): boolean => COMMANDS.some(({ names }) => names.includes(word));

/** The command that is called; all commands if it is unknown, for help and suggestions. */
function neededBy({ operand, values }: Spoken): readonly Listed[] {
  const called = COMMANDS.filter(({ names }) => operand !== undefined && names.includes(operand));
  if (called.length > 0) return called;
  return operand === undefined && values.has('version') ? [] : COMMANDS;
}
