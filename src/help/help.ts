import type { AnyCommand } from '../command-line/commander.ts';
import { globalOptions, listed } from '../command-line/help.ts';
import { commandFor } from '../command-line/understand.ts';
import { KvmsnapError } from '../errors.ts';
import { nearest } from '../model/names.ts';
import type { Context } from '../run/context.ts';
import { exitRows } from './exit-rows.ts';
import { pageText } from './page-text.ts';
import { TOPICS, topicFor } from './topics.ts';

/**
 * `kvmsnap help` lists the commands and topics. `kvmsnap help WORD` shows the help of a command, a page of the manual, or what
 * all commands share.
 */

/** Topics that are made from the program itself and are no pages of the manual. */
const OF_THE_PROGRAM: readonly {
  readonly name: string;
  readonly summary: string;
  readonly write: (program: AnyCommand) => string;
}[] = [
  {
    name: 'options',
    summary: 'the common options: output, connection, hosts, time limits',
    write: (program) => `${globalOptions(program, helperOf(program))}\n`,
  },
  {
    name: 'exit-codes',
    summary: 'what each exit code means',
    write: (program) =>
      `${listed(
        'Exit codes:',
        exitRows().map(([exit, meaning]) => [exit, meaning]),
        helperOf(program),
      )}\n`,
  },
];

/** Prints help on a command or topic; null: the list of both. Throws `usage` for an unknown word. */
export async function help(
  ctx: Pick<Context, 'terminal'>,
  program: AnyCommand,
  word: string | null,
): Promise<void> {
  ctx.terminal.print(word === null ? overview(program) : await helpOn(program, word));
}

function helperOf(program: AnyCommand) {
  const helper = program.createHelp();
  helper.prepareContext({ helpWidth: program.configureOutput().getOutHelpWidth?.() ?? 80 });
  return helper;
}

function overview(program: AnyCommand): string {
  const topics = [...OF_THE_PROGRAM, ...TOPICS].map(({ name, summary }) => [name, summary] as const);
  return `${program.helpInformation()}\n${listed('Topics (kvmsnap help TOPIC):', topics, helperOf(program))}\n`;
}

async function helpOn(program: AnyCommand, word: string): Promise<string> {
  const isCalled = ({ name }: { readonly name: string }) => name === topicFor(word);
  const command = commandsOf(program).find((each) => namesOf(each).includes(word));
  if (command) return command.helpInformation();
  const own = OF_THE_PROGRAM.find(isCalled);
  if (own) return own.write(program);
  const topic = TOPICS.find(isCalled);
  if (topic) return pageText((await topic.load()).default, helperOf(program));
  const other = commandsOf(program).find((each) => each.name() === commandFor(word));
  if (other) return other.helpInformation();
  const known = [
    ...commandsOf(program).flatMap(namesOf),
    ...[...OF_THE_PROGRAM, ...TOPICS].map(({ name }) => name),
  ];
  const meant = nearest(word, known);
  throw new KvmsnapError('usage', `there is no command or topic '${word}'`, {
    ...(meant
      ? { hint: 'did you mean', command: `kvmsnap help ${meant}` }
      : { hint: 'to see all commands and topics', command: 'kvmsnap help' }),
  });
}

const namesOf = (command: AnyCommand): string[] => [command.name(), ...command.aliases()];

const commandsOf = (program: AnyCommand): readonly AnyCommand[] =>
  program.createHelp().visibleCommands(program);
