import { vmsArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { allOption, jobsOption, withFilters } from '../run/select-options.ts';
import { labelOption, matchOption, withRules } from './rule-options.ts';

const bare = () =>
  new Verb('prune', {
    summary: 'delete the snapshots that no rule keeps',
    detail:
      'Only snapshots that carry the label in their name, as create --label makes them, or that --match names. Rules are ' +
      'OR-ed: one reason is enough to stay. Never deleted: one on hold, one still being taken, one dated in the future, one ' +
      'that libvirt would not delete now, and the newest (unless --allow-empty). Without a rule nothing is deleted. On a terminal it shows the plan and asks; in a script it does not. --dry-run shows each with its reasons, and what ' +
      'it would free. With --free-min what no rule keeps goes only as far as space is needed: the oldest of all these VMs ' +
      'first, one at a time, until every file system of their images has so much free (a part of its size, or bytes with ' +
      'K, M, G or T); without another rule the newest of each VM stays. Exit 5 when it is not reached.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap prune centos7-1 --label nightly --keep-daily 7 --keep-weekly 4 --dry-run',
      "kvmsnap prune 'web-*' --label nightly --keep-within 14d",
    ],
    needsWriting: true,
  });

const withOptions = (verb: Verb) =>
  withFilters(
    withRules(
      verb
        .addArgument(vmsArgument('names, UUIDs or patterns; or use --all'))
        .addOption(labelOption())
        .addOption(matchOption()),
    ).addOption(allOption()),
  ).addOption(jobsOption());

export type PruneOptions = OptionsOf<ReturnType<typeof withOptions>>;

export function prune({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vms, options) =>
    run(async (ctx) => (await import('./report.ts')).pruneVms(ctx, vms, options)),
  );
  return verb;
}
