import { Argument } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const shellArgument = () => new Argument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']);

/** The command line of `completion`. */
export function completion({ run }: Program): Verb {
  const verb = new Verb('completion', {
    group: 'More',
    summary: 'print the completion script for a shell',
    detail: 'The script completes commands, options, and the names of VMs and snapshots.',
    examples: ['source <(kvmsnap completion bash)', 'kvmsnap completion fish | source'],
    topics: ['tab-completion'],
    needsWriting: false,
  });
  verb
    .addArgument(shellArgument())
    .action((shell) => run(async (ctx) => (await import('./completion.ts')).completion(ctx, shell)));
  return verb;
}

/** Hidden: the completion scripts run this command. */
export function complete({ run, whole, hosts }: Program): Verb {
  const verb = new Verb('complete', {
    group: 'More',
    summary: 'print what a command line may be completed with',
    detail: 'The completion scripts run this at each TAB.',
    examples: ["kvmsnap complete fish -- list ''"],
    topics: [],
    needsWriting: false,
  });
  verb
    .addArgument(shellArgument())
    .addArgument(new MeantArgument('[words...]', 'text', 'the command line so far, after --'))
    .action((shell, words) =>
      run(async (ctx) =>
        (await import('./complete.ts')).complete(ctx, { program: await whole(), hosts }, shell, words),
      ),
    );
  return verb;
}
