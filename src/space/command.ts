import { Option, type OptionsOf } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { onSnapshotsOfOne } from '../command-line/named.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('space', {
    group: 'Look',
    summary: 'show how much disk space snapshots use',
    detail:
      'FREES is the space that becomes free if you delete only this snapshot. USES is all data that the snapshot uses, also what it shares with other snapshots. CHANGED is the difference from its parent. ' +
      'With names, it shows the space that becomes free if you delete these snapshots together. Without a VM, it shows the space that the snapshots of each VM use, the largest first.',
    failures: ['check', 'busy'],
    examples: [
      'kvmsnap space',
      'kvmsnap space centos7-1',
      'kvmsnap space centos7-1 old-1 old-2',
      'kvmsnap space centos7-1 --sort frees',
    ],
    takesHosts: true,
    topics: ['disk-space'],
    needsWriting: false,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(new MeantArgument('[vm]', 'vm', 'name or UUID of the VM (default: a sum for each VM)'))
    .addArgument(
      new MeantArgument(
        '[names...]',
        'snapshot',
        'names of snapshots to calculate together (nothing is deleted)',
      ),
    )
    .option('--disks', 'show each disk separately')
    .option('--exact', 'pause a running guest for a moment to get exact figures')
    .addOption(
      new Option('--sort <by>', 'sort by frees (largest first) or created').choices(['frees', 'created']),
    );

export type SpaceOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `space`. */
export function space({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, names, options) =>
    run(
      vm === undefined
        ? async (ctx) => (await import('./all.ts')).spaceOfAll(ctx, options)
        : onSnapshotsOfOne({ words: [vm, ...names] }, async (ctx, vm, names) =>
            (await import('./space.ts')).space(ctx, vm, names, options),
          ),
    ),
  );
  return verb;
}
