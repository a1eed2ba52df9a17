import { snapshotArgument, vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { given, onSnapshot } from '../command-line/named.ts';
import { repeated } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('open', {
    group: 'Read data',
    summary: 'serve the disks of a snapshot read-only, to read files in them',
    detail:
      'Each disk is served by NBD on a unix socket until you press Ctrl-C. kvmsnap prints commands for guestfish, guestmount, nbdcopy and qemu-img. The VM can keep running. ' +
      'Neither delete nor prune removes the snapshot meanwhile.',
    failures: ['check', 'busy'],
    examples: ['kvmsnap open web-1 before-upgrade', 'kvmsnap open web-1/before-upgrade --disk vda -q'],
    topics: ['taking-out'],
    needsWriting: false,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .addOption(repeated('--disk <target>', 'text', 'select only this disk, such as vda (repeatable)'))
    .option('--force', 'override the advisory check for changed files');

export type OpenOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `open`. */
export function openCommand({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, name, options) =>
    run(
      onSnapshot({ words: given(vm, name) }, async (ctx, vm, name) =>
        (await import('./open.ts')).openSnapshot(ctx, vm, name, options),
      ),
    ),
  );
  return verb;
}
