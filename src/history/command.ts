import { vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { repeatedAs } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { parseMove } from './move-option.ts';

const bare = () =>
  new Verb('history', {
    group: 'Check and fix',
    summary: 'keep the snapshots of a VM that is moved, renamed or undefined',
    detail:
      'libvirt forgets the snapshots of a VM that is moved to another host, renamed or undefined, although their data stay in the images. ' +
      '`history save VM` prints their metadata; redirect it to a file. `history load VM FILE` registers the snapshots again, after it has found their data on every disk.',
    failures: ['check', 'exists', 'busy'],
    examples: [
      'kvmsnap history save web-1 > web-1.history',
      'kvmsnap history load web-1 web-1.history --map /old/images=/srv/images',
    ],
    topics: ['moving-vms'],
    needsWriting: ['map', 'securityInfo'],
    takesHosts: 'one',
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(new MeantArgument('<action>', 'text', 'save or load').choices(['save', 'load']))
    .addArgument(vmArgument())
    .addArgument(new MeantArgument('[file]', 'file', 'the file to load; - reads stdin'))
    .addOption(
      repeatedAs(
        '--map <old=new>',
        'text',
        'use the new path of a moved file or directory (with load)',
        parseMove,
      ),
    )
    .option('--security-info', 'include passwords (with save)');

export type HistoryOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `history`. */
export function history({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((action, vm, file, options) =>
    run(async (ctx) =>
      action === 'save'
        ? (await import('./save.ts')).saveHistory(ctx, vm, file, options)
        : (await import('./load.ts')).loadHistory(ctx, vm, file, options),
    ),
  );
  return verb;
}
