import { vmArgument } from '../command-line/arguments.ts';
import { Option, type OptionsOf } from '../command-line/commander.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('space', {
    summary: 'tell what each snapshot costs on disk, and what deleting it frees',
    detail:
      'Exact, from the metadata of the qcow2 images, which are only read. FREES: what the host gets back when this one alone is ' +
      'deleted. HOLDS: all that it refers to, most of it shared with others. CHANGED: what differs from its parent. Of an external ' +
      'snapshot it is the overlay that it HOLDS, and merging that into the image below that FREES. Of a running ' +
      'VM the figures are approximate (~), since QEMU has not written all that it knows; --exact pauses the guest for some ' +
      'milliseconds, when it does, and says for how long. With names: what deleting these ' +
      'together frees. Exit 5 when an image cannot be measured.',
    failures: ['check', 'busy'],
    examples: [
      'kvmsnap space centos7-1',
      'kvmsnap space centos7-1 old-1 old-2',
      'kvmsnap space centos7-1 --sort frees',
    ],
    needsWriting: false,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addArgument(new MeantArgument('[names...]', 'snapshot', 'the snapshots'))
    .option('--disks', 'each disk as well')
    .option('--exact', 'pause a running guest for a moment, for exact figures')
    .addOption(
      new Option('--sort <by>', 'frees (the most expensive first) or created').choices(['frees', 'created']),
    );

export type SpaceOptions = OptionsOf<ReturnType<typeof withOptions>>;

export function space({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, names, options) =>
    run(async (ctx) => (await import('./report.ts')).space(ctx, vm, names, options)),
  );
  return verb;
}
