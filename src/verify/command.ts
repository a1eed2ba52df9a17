import { neededVmArgument, snapshotArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { given, onSnapshot } from '../command-line/named.ts';
import { parseDuration } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { KvmsnapError } from '../errors.ts';
import { parseLabel } from '../prune/rule-options.ts';

const bare = () =>
  new Verb('verify', {
    group: 'Look',
    summary: 'prove that a snapshot boots, in a throw-away VM',
    detail:
      'The VM itself is not touched: the throw-away VM reads the snapshot, and writes to a temporary overlay. It has no network and no devices of the host, and is gone at the end. ' +
      'The snapshot is proven if the guest agent or the balloon driver of the guest answers; a guest with neither cannot be proven.',
    failures: ['check', 'busy', 'partial'],
    examples: [
      'kvmsnap verify web-1 nightly-20261128T023000Z',
      'kvmsnap verify web-1/before-upgrade --within 5min',
      'kvmsnap verify --label nightly',
    ],
    topics: ['verifying'],
    insteadOfArguments: '--label <label>',
    needsWriting: true,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(neededVmArgument())
    .addArgument(snapshotArgument())
    .addOption(
      new MeantOption(
        '--within <time>',
        'text',
        'set how long to wait for the guest (default: 120s)',
      ).argParser(parseDuration),
    )
    .addOption(
      new MeantOption(
        '--label <label>',
        'label',
        'select the newest snapshot with this label of each VM',
      ).argParser(parseLabel),
    )
    .option('--memory', 'let the guest run on from its saved memory instead of booting')
    .addOption(
      new MeantOption(
        '--screenshot <file>',
        'file',
        'save the screen of the guest here if it does not answer',
      ),
    )
    .option('--force', 'override advisory checks (free memory and space, changed files)');

export type VerifyOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `verify`. */
export function verifyCommand({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, name, options) => {
    const { label } = options;
    if (label === undefined)
      return run(
        onSnapshot({ words: given(vm, name) }, async (ctx, vm, name) =>
          (await import('./verify.ts')).verifySnapshot(ctx, vm, name, options),
        ),
      );
    if (name !== undefined) throw new KvmsnapError('usage', 'give either a snapshot or --label');
    return run(async (ctx) => (await import('./newest.ts')).verifyNewest(ctx, given(vm), label, options));
  });
  return verb;
}
