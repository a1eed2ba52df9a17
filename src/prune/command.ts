import { vmsArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { withPolicy } from '../policy/with-policy.ts';
import { allOption, jobsOption, policyOption, withFilters } from '../run/select-options.ts';
import { recorded } from '../watch/recorded.ts';
import { labelOption, matchOption, withRules } from './rule-options.ts';

const RETENTION = 'Retention:';

const bare = () =>
  new Verb('prune', {
    group: 'Keep and clean',
    summary: 'delete the snapshots of a label that no --keep rule keeps',
    detail:
      'It considers only snapshots that create --label has named, such as nightly-20261130T030000Z, and names that match --match. Give at least one keep rule or --free-min. A snapshot stays if any rule keeps it. Days, weeks, months and years are those of the local time, and those without a snapshot do not count. ' +
      'With --free-min, it deletes only as many of the snapshots that no rule keeps as are needed, the oldest first. The newest of each VM stays, unless you add --allow-empty. ' +
      'If stdin is a terminal, kvmsnap asks before it deletes. Otherwise (cron), it deletes without asking, and needs no --yes.',
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
      RETENTION,
      verb
        .addArgument(vmsArgument('names, UUIDs or patterns of VMs; @NAME: a policy'))
        .addOption(labelOption('consider snapshots named <label>-<UTC time>', RETENTION))
        .addOption(matchOption(RETENTION)),
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
