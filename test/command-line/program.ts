// The program with all its commands, and what it makes of a command line.
import { createProgram } from '../../src/cli.ts';
import { type AnyCommand, CommanderError } from '../../src/command-line/commander.ts';
import { usageError } from '../../src/command-line/usage-error.ts';
import { Verb } from '../../src/command-line/verb.ts';
import type { Settings } from '../../src/run/context.ts';

export interface Parsed {
  readonly started: readonly Settings[];
  readonly help: string;
  readonly thrown: unknown;
}

/** Parses a command line; what it would run is not run. */
export async function parse(...words: string[]): Promise<Parsed> {
  const started: Settings[] = [];
  let help = '';
  const { program, spoken, run } = await createProgram(words, async (settings) => {
    started.push(settings);
  });
  const everyone: AnyCommand[] = [program, ...program.commands];
  for (const command of everyone)
    command.configureOutput({ writeOut: (text) => (help += text), writeErr: (text) => (help += text) });
  try {
    await run();
    return { started, help, thrown: null };
  } catch (thrown) {
    const isCommanders = thrown instanceof CommanderError;
    if (isCommanders && thrown.exitCode === 0) return { started, help, thrown: null };
    return { started, help, thrown: isCommanders ? usageError(thrown, program, spoken) : thrown };
  }
}

export const { program: WHOLE } = await createProgram([], async () => undefined);

export const VERBS = WHOLE.commands.map((command) => {
  if (!(command instanceof Verb)) throw new Error(`${command.name()} is a command of another kind`);
  return command;
});

export const SHOWN = WHOLE.createHelp().visibleCommands(WHOLE);

export const GLOBAL_OPTIONS = WHOLE.options.filter(({ long }) => long !== '--version');

export const DEFAULTS: Settings = {
  connect: null,
  output: 'table',
  color: 'auto',
  yes: false,
  dryRun: false,
  verbose: false,
  readonly: false,
  timeout: null,
  wait: 0,
  silent: false,
  metrics: null,
  hosts: null,
};
