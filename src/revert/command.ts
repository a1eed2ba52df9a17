import { vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('revert', {
    summary: 'put a VM back to a snapshot',
    detail:
      'What was written since is lost, unless --backup keeps it. Refuses when a disk does not hold the snapshot exactly once. ' +
      'Asks on a terminal; in a script the name is consent.',
    failures: ['check', 'exists', 'busy', 'declined'],
    examples: [
      'kvmsnap revert centos7-1 snapshot-2 --backup',
      'kvmsnap revert centos7-1 --current --running',
    ],
    needsWriting: true,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addArgument(new MeantArgument('[name]', 'snapshot', 'the snapshot; or use --current'))
    .option('--current', 'the current snapshot, instead of a name')
    .option('--running', 'start the VM afterwards')
    .option('--paused', 'leave the VM paused afterwards')
    .option('--reset-nvram', 'make the NVRAM anew from its template (from libvirt 8.1 on)')
    .option('--backup', 'take a snapshot of the present state first; without it, no revert')
    .addOption(new MeantOption('--backup-name <name>', 'name', 'as --backup, under this name'))
    .option(
      '--force',
      'go on over a managed save or an overlay in use, and have virsh try harder; passes no check of the tags',
    );

export type RevertOptions = OptionsOf<ReturnType<typeof withOptions>>;

export function revert({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, name, options) =>
    run(async (ctx) => (await import('./report.ts')).revert(ctx, vm, name, options)),
  );
  return verb;
}
