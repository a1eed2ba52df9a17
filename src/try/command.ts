import { vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('try', {
    group: 'Take and revert',
    summary: 'take a snapshot, run a command, and offer to revert if it fails',
    detail:
      'COMMAND runs on this host, and kvmsnap exits with its exit code (125 if kvmsnap itself fails). ' +
      'If it fails, kvmsnap asks whether to revert; if it succeeds, whether to delete the snapshot. If stdin is not a terminal, kvmsnap does neither, unless --revert, --delete or --yes says so. ' +
      'Write -- before COMMAND.',
    failures: ['check', 'exists', 'busy', 'declined'],
    ownFailuresExit: 125,
    examples: [
      'kvmsnap try web-1 -- ssh web-1 apt-get -y full-upgrade',
      'kvmsnap try web-1 --vm db-1 --revert --delete -- ./upgrade.sh',
    ],
    topics: ['trying'],
    needsWriting: true,
    takesHosts: 'one',
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addArgument(new MeantArgument('<command...>', 'text', 'the command, and its arguments'))
    .addOption(
      new MeantOption('--vm <vm>', 'vm', 'take a snapshot of this VM too, and revert it with the first', {
        repeatable: true,
      }).argParser((word, before: string[] = []) => [...before, word]),
    )
    .addOption(new MeantOption('--name <name>', 'name', 'set the name of the snapshot (default: try-TIME)'))
    .option('--revert', 'revert without asking if the command fails')
    .option('--delete', 'delete the snapshot without asking if the command succeeds')
    .option('--keep', 'keep the snapshot without asking if the command succeeds')
    .option('--force', 'override advisory checks, as in create-as and revert');

export type TryOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `try`. */
export function tryCommand({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, command, options) =>
    run(async (ctx) => (await import('./try.ts')).tryOut(ctx, [vm, ...(options.vm ?? [])], command, options)),
  );
  return verb;
}
