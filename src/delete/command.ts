import { patternArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { jobsOption, strictOption, vmOption, withFilters } from '../run/select-options.ts';
import { leftoversOption } from './leftovers-option.ts';

const bare = () =>
  new Verb('delete', {
    summary: 'delete snapshots of a VM',
    detail:
      'Goes on after a failure. Says deleted only when libvirt and every disk have forgotten it. Asks on a terminal; in a ' +
      'script names are consent, and --children or more than one VM needs --yes. Of many VMs, one that has none of ' +
      'the snapshots is skipped and said so. An --exclude that leaves out no VM is an error here: it may be a slip.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap delete centos7-1 1649751390',
      'kvmsnap rm centos7-1 old-1 old-2 --yes',
      "kvmsnap delete 'web-*' before-upgrade --yes",
    ],
    needsWriting: true,
  }).alias('rm');

const withOptions = (verb: Verb) =>
  withFilters(
    verb
      .addArgument(patternArgument())
      .addArgument(new MeantArgument('[names...]', 'snapshot', 'the snapshots; or use --current'))
      .option('--current', 'the current snapshot, instead of a name')
      .option('--children', 'with all snapshots below it')
      .option('--children-only', 'only the snapshots below it')
      .option('--metadata', "only libvirt's knowledge of it; the data stays in the images")
      .addOption(leftoversOption())
      .addOption(vmOption()),
  )
    .addOption(jobsOption())
    .addOption(strictOption());

export type DeleteOptions = OptionsOf<ReturnType<typeof withOptions>>;

export function deleteSnapshots({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, names, options) =>
    run(async (ctx) => (await import('./report.ts')).deleteSnapshots(ctx, vm, names, options)),
  );
  return verb;
}
