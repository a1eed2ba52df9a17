import { parseAge } from '../command-line/age.ts';
import { vmsArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { parseLabel } from '../prune/rule-options.ts';
import { withFilters } from '../run/select-options.ts';

const bare = () =>
  new Verb('check', {
    group: 'Repair',
    summary: 'find problems with VMs and snapshots; --fix repairs them',
    detail:
      'It checks that snapshots can be taken and reverted, and that existing ones are intact. The exit code is 5 if it finds an error or a warning; -q prints only the names of these VMs. --fix shows a plan and asks before it changes anything.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap check',
      'kvmsnap check web-1 --fix',
      'kvmsnap check centos7-1 --fix --dry-run',
      'kvmsnap check --max-age 26h --label nightly -q',
    ],
    needsWriting: ['fix'],
  });

const withOptions = (verb: Verb) =>
  withFilters(
    verb
      .addArgument(vmsArgument('names, UUIDs or patterns of VMs (default: all VMs)'))
      .option('--fix', 'fix what can be fixed safely, after confirmation')
      .option(
        '--max-age <span>',
        'fail if the newest snapshot is older than this: 90min, 26h, 8d, 6mo',
        parseAge,
      )
      .addOption(
        new MeantOption(
          '--label <label>',
          'label',
          'consider only snapshots with this label (with --max-age)',
        ).argParser(parseLabel),
      ),
  );

export type CheckOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `check`. */
export function check({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vms, options) =>
    run(async (ctx) => (await import('./check.ts')).check(ctx, vms, options)),
  );
  return verb;
}
