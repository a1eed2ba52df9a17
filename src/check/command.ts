import { vmsArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { withPolicy } from '../policy/with-policy.ts';
import { policyOption, withFilters } from '../run/select-options.ts';
import { recorded } from '../watch/recorded.ts';
import { withLimits } from './limit-options.ts';

const bare = () =>
  new Verb('check', {
    group: 'Check and fix',
    summary: 'find problems with VMs and snapshots; --fix fixes them',
    detail:
      'It checks that snapshots can be taken and reverted, and that existing ones are intact. The exit code is 5 if there is an error or a warning; -q prints only the names of the VMs with an error or a warning. --fix shows a plan, and asks before it changes anything; if stdin is not a terminal, it needs --yes.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap check',
      'kvmsnap check web-1 --fix',
      'kvmsnap check centos7-1 --fix --dry-run',
      'kvmsnap check --label nightly --max-age 26h:50h --oldest 14d --most 20',
    ],
    takesHosts: true,
    topics: ['fixing', 'monitoring', 'other-tools'],
    needsWriting: ['fix'],
    outputs: ['nagios', 'prometheus'],
  });

const withOptions = (verb: Verb) =>
  withFilters(
    withLimits(
      verb
        .addArgument(vmsArgument('names, UUIDs or patterns of VMs (default: all); @NAME: a policy'))
        .option('--fix', 'fix what can be fixed safely, after a question'),
    ),
  ).addOption(policyOption());

export type CheckOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `check`. */
export function check(program: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vms, options) =>
    program.run((ctx) =>
      withPolicy(ctx, program, vms, () =>
        recorded(ctx, { command: 'check', words: vms, options }, async () =>
          (await import('./check.ts')).check(ctx, vms, options),
        ),
      ),
    ),
  );
  return verb;
}
