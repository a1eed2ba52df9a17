import { vmsArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { withPolicy } from '../policy/with-policy.ts';
import { allOption, jobsOption, policyOption, withFilters } from '../run/select-options.ts';
import { recorded } from '../watch/recorded.ts';
import { labelOption, matchOption, withRules } from './rule-options.ts';

const bare = () =>
  new Verb('prune', {
    group: 'Keep and clean',
    summary: 'delete old snapshots; the --keep rules select those to keep',
    detail:
      'Only snapshots with the label of --label, or with names that match --match, are considered. A snapshot is kept if any keep rule keeps it; without a keep rule or --free-min, nothing is deleted. ' +
      '--free-min deletes only what no keep rule keeps; alone, it keeps the newest of each VM. ' +
      'On a terminal, kvmsnap asks before it deletes. In a script (cron), it never asks and needs no --yes.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap prune --all --label nightly --keep-daily 7 --keep-weekly 4 --dry-run',
      "kvmsnap prune 'web-*' --label nightly --keep-within 14d",
    ],
    topics: ['retention', 'nightly', 'policies'],
    needsWriting: true,
    takesHosts: true,
    outputs: ['prometheus'],
  });

const withOptions = (verb: Verb) =>
  withFilters(
    withRules(
      verb
        .addArgument(vmsArgument('names, UUIDs or patterns of VMs; @NAME: a policy'))
        .addOption(labelOption('consider only snapshots with this label'))
        .addOption(matchOption()),
    )
      .addOption(allOption())
      .addOption(policyOption()),
  ).addOption(jobsOption());

export type PruneOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `prune`. */
export function prune(program: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vms, options) =>
    program.run((ctx) =>
      withPolicy(ctx, program, vms, () =>
        recorded(ctx, { command: 'prune', words: vms, options }, async () =>
          (await import('./prune.ts')).pruneVms(ctx, vms, options),
        ),
      ),
    ),
  );
  return verb;
}
