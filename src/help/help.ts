import type { AnyCommand } from '../command-line/commander.ts';
import { globalOptions, listed } from '../command-line/help.ts';
import { KvmsnapError } from '../errors.ts';
import { nearest } from '../model/names.ts';
import type { Context } from '../run/context.ts';
import { exitRows } from './exit-rows.ts';
import { pageText } from './page-text.ts';
import { TOPICS } from './topics.ts';

/** `kvmsnap help`: the topics; `kvmsnap help WORD`: a command's help, a page of the manual, or what all commands share. */

/** What the program itself tells, beside the pages. */
const OF_THE_PROGRAM: readonly {
  readonly name: string;
  readonly summary: string;
  readonly write: (program: AnyCommand) => string;
}[] = [
  {
    name: 'options',
    summary: 'the options of every command',
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

/** Prints help on that word; null: the list of commands and topics. Throws `usage` for a word that means nothing. */
export async function help(ctx: Context, program: AnyCommand, word: string | null): Promise<void> {
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
  const isCalled = ({ name }: { readonly name: string }) => name === word;
  const command = commandsOf(program).find((each) => namesOf(each).includes(word));
  if (command) return command.helpInformation();
  const own = OF_THE_PROGRAM.find(isCalled);
  if (own) return own.write(program);
  const topic = TOPICS.find(isCalled);
  if (topic) return pageText((await topic.load()).default, helperOf(program));
  const known = [
    ...commandsOf(program).flatMap(namesOf),
    ...[...OF_THE_PROGRAM, ...TOPICS].map(({ name }) => name),
  ];
  const meant = nearest(word, known);
  throw new KvmsnapError('usage', `there is no command or topic '${word}'`, {
    hint: meant ? `did you mean 'kvmsnap help ${meant}'?` : 'kvmsnap help lists the commands and topics',
  });
}

const namesOf = (command: AnyCommand): string[] => [command.name(), ...command.aliases()];

const commandsOf = (program: AnyCommand): readonly AnyCommand[] =>
  program.createHelp().visibleCommands(program);
