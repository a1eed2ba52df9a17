import { vmsArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { allOption, parsePolicyName, withFilters } from '../run/select-options.ts';

const bare = () =>
  new Verb('policy', {
    group: 'More',
    summary: 'show or set the policy of a VM: the runs that include it',
    detail:
      'A policy is a file of options: create --all @nightly reads them from /etc/kvmsnap/nightly.conf. By default, such a run works on all VMs. With --set nightly, a VM takes part only in the runs with @nightly; with --set none, in no run with a policy. A run that names the VM includes it always. The choice is stored in the XML of the VM, and moves with it.',
    failures: ['partial', 'busy'],
    examples: [
      'kvmsnap policy web-1 --set nightly',
      "kvmsnap policy 'test-*' --set none",
      'kvmsnap policy --all',
    ],
    topics: ['policies', 'nightly'],
    needsWriting: ['set', 'unset'],
    takesHosts: true,
  });

const withOptions = (verb: Verb) =>
  withFilters(
    verb
      .addArgument(vmsArgument('names, UUIDs or patterns of VMs; or use --all'))
      .addOption(
        new MeantOption(
          '--set <policy>',
          'policy-choice',
          'take part only in runs with this policy (none: in no such run)',
        ).argParser(parsePolicyName),
      )
      .option('--unset', 'take part in runs with any policy (the default)')
      .option('--force', 'set the policy even if it has no file yet')
      .addOption(allOption()),
  );

export type PolicyOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `policy`. */
export function policy({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vms, options) =>
    run(async (ctx) => (await import('./policy.ts')).policy(ctx, vms, options)),
  );
  return verb;
}
