import { excessName, neededPatternArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { given, onSnapshots } from '../command-line/named.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { jobsOption, strictOption, vmOption, withFilters } from '../run/select-options.ts';
import { leftoversOption } from './leftovers-option.ts';

const bare = () =>
  new Verb('delete', {
    group: 'Keep and clean',
    summary: 'delete snapshots',
    detail:
      'If stdin is a terminal, kvmsnap asks before it deletes. Otherwise (cron, ssh without -t, a loop that reads a list), it deletes the named snapshots of one VM without asking; --children, --children-only, --group, a pattern of VMs and several VMs need --yes.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap delete centos7-1 1649751390',
      'kvmsnap rm centos7-1 old-1 old-2 --yes',
      "kvmsnap delete 'web-*' before-upgrade --yes",
    ],
    topics: ['snapshots', 'retention', 'disk-space', 'several-vms'],
    insteadOfArguments: '--group <name>',
    needsWriting: true,
    takesHosts: true,
    notOnHosts: ['--group'],
  }).alias('rm');

const withOptions = (verb: Verb) =>
  withFilters(
    verb
      .addArgument(neededPatternArgument())
      .addArgument(
        new MeantArgument(
          '[names...]',
          'snapshot',
          'exact names (or --current); if omitted, choose from a list',
        ),
      )
      .option('--current', 'use the current snapshot instead of a name')
      .option('--children', 'delete the snapshot and all its descendants')
      .option('--children-only', 'delete all descendants of the snapshot, and keep the snapshot')
      .addOption(
        new MeantOption(
          '--group <name>',
          'snapshot',
          'delete all snapshots of this group (taken by create-as --together)',
        ),
      )
      .option('--metadata', 'unregister the snapshot from libvirt; keep its data')
      .addOption(leftoversOption())
      .addOption(vmOption()),
  )
    .addOption(jobsOption())
    .addOption(strictOption('fail if one of several VMs has no such snapshot'));

export type DeleteOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `delete`. */
export function deleteSnapshots({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, names, options) => {
    const { group } = options;
    if (group !== undefined)
      return run(async (ctx) => {
        if (names.length > 0) throw excessName();
        await (await import('./delete-group.ts')).deleteGroup(ctx, vm, group, options);
      });
    return run(
      onSnapshots({ words: given(vm, ...names), others: options.vm ? '--vm' : null }, async (ctx, named) =>
        (await import('./delete.ts')).deleteSnapshots(ctx, named, options),
      ),
    );
  });
  return verb;
}
