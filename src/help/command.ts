import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('manual', {
    group: 'More',
    summary: 'print the man page',
    detail: 'It is printed in roff, for the build and for packagers.',
    examples: ['kvmsnap manual > kvmsnap.1'],
    topics: [],
    needsWriting: false,
  });

const withOptions = (verb: Verb) =>
  verb
    .option('--tables', "print the manual's tables as JSON instead")
    .option('--schemas', 'print the JSON Schema of each document instead');

export type ManualOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** Hidden: the build, the tests and packagers use it. */
export function manual({ run, whole }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((options) =>
    run(async (ctx) => (await import('./manual.ts')).manual(ctx, await whole(), options)),
  );
  return verb;
}

/** The command line of `help`. */
export function help({ run, whole }: Program): Verb {
  const verb = new Verb('help', {
    group: 'More',
    summary: 'show help on a command or topic',
    detail: 'Without a topic, all commands and topics are listed.',
    examples: ['kvmsnap help external', 'kvmsnap help exit-codes'],
    topics: [],
    needsWriting: false,
  });
  verb
    .addArgument(new MeantArgument('[topic]', 'topic', 'a command, or a topic of the manual'))
    .action((topic) =>
      run(async (ctx) => (await import('./help.ts')).help(ctx, await whole(), topic ?? null)),
    );
  return verb;
}
