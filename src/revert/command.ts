import { excessName, neededVmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { given, onOne } from '../command-line/named.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('revert', {
    group: 'Take and revert',
    summary: 'revert a VM to a snapshot',
    detail:
      'Everything written since the snapshot was taken is lost; to keep it, take a snapshot of the present state first (--backup). ' +
      'You need not stop the VM. Afterwards it is in the state that it had when the snapshot was taken (shut off, if its memory was not saved), unless you add --running or --paused. ' +
      'If stdin is a terminal, kvmsnap asks before it reverts. Otherwise (cron, ssh without -t, a loop that reads a list), it reverts without asking; only --group needs --yes there.',
    failures: ['check', 'exists', 'busy', 'declined'],
    examples: [
      'kvmsnap revert centos7-1 snapshot-2 --backup',
      'kvmsnap revert centos7-1 --current --running',
      'kvmsnap revert --group before-upgrade --yes',
    ],
    topics: ['snapshots', 'external', 'several-vms', 'trying'],
    insteadOfArguments: '--group <name>',
    needsWriting: true,
    takesHosts: true,
    notOnHosts: ['--group'],
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(neededVmArgument())
    .addArgument(
      new MeantArgument(
        '[name]',
        'snapshot',
        'name of the snapshot (or --current); choose from a list if omitted',
      ),
    )
    .option('--current', 'use the current snapshot instead of a name')
    .option('--running', 'start the VM afterwards')
    .option('--paused', 'leave the VM paused afterwards')
    .option('--reset-nvram', 'recreate the NVRAM from its template (libvirt 8.1 or newer)')
    .option('--backup', 'first take a snapshot of the present state')
    .addOption(
      new MeantOption('--backup-name <name>', 'name', 'set the name of that snapshot (implies --backup)'),
    )
    .addOption(
      new MeantOption(
        '--group <name>',
        'snapshot',
        'revert all VMs of this group (taken by create-as --together)',
      ),
    )
    .option('--force', 'revert although data in overlays is lost, or files have changed');

export type RevertOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `revert`. */
export function revert({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, name, options) => {
    const { group } = options;
    if (group !== undefined)
      return run(async (ctx) => {
        if (name !== undefined) throw excessName();
        await (await import('./revert-group.ts')).revertGroup(ctx, vm, group, options);
      });
    return run(
      onOne({ words: given(vm, name) }, async (ctx, vm, name) =>
        (await import('./revert.ts')).revert(ctx, vm, name, options),
      ),
    );
  });
  return verb;
}
