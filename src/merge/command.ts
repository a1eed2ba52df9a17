import { vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { repeated } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('merge', {
    group: 'Check and fix',
    summary: 'merge overlays that belong to no snapshot',
    detail:
      'Make sure first that no backup of the VM is running. The content of the overlays is written into their backing file, which the VM uses from then on, and the overlays are removed. ' +
      'The VM can keep running. The merge is refused if a snapshot or another VM needs one of the files. kvmsnap asks first; if stdin is not a terminal, it needs --yes.',
    failures: ['check', 'busy', 'declined'],
    examples: ['kvmsnap merge web-1 --dry-run', 'kvmsnap merge web-1'],
    topics: ['other-tools', 'external'],
    needsWriting: true,
    takesHosts: true,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addOption(repeated('--disk <target>', 'text', 'use only this disk, such as vda (repeatable)'))
    .addOption(
      new MeantOption(
        '--into <file>',
        'file',
        'merge into this backing file, even if it looks like a template',
      ),
    );

export type MergeOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `merge`. */
export function merge({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, options) =>
    run(async (ctx) => (await import('./merge.ts')).mergeVm(ctx, vm, options)),
  );
  return verb;
}
