import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { repeatedAs, unfit } from '../command-line/values.ts';
import { parseDiskspec, parseMemspec } from '../libvirt/disk-spec.ts';

/** The options by which a command line says what a snapshot is made of: those of `virsh snapshot-create-as`, and `--external`. */

export const withSpec = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup('What is taken:')
    .option(
      '--external',
      'into files of its own beside the images: an overlay each, and the memory of a running VM',
    )
    .option('--disk-only', 'the same without the memory')
    .option(
      '--memspec <spec>',
      'external, the memory in this file: [file=]/PATH (of one VM)',
      parsed(parseMemspec, '[file=]/PATH[,snapshot=external]'),
    )
    .addOption(
      repeatedAs(
        '--diskspec <spec>',
        'text',
        'external, a disk so: DISK[,snapshot=no|external|manual][,driver=TYPE][,stype=file|block][,file=/PATH]; repeatable (of one VM)',
        parsed(
          parseDiskspec,
          'DISK[,snapshot=no|external|manual][,driver=qcow2][,stype=file|block][,file=/PATH]',
        ),
      ),
    )
    .option('--live', 'external: the guest runs on while its memory is saved')
    .option('--halt', 'turn the VM off once it is taken')
    .option('--quiesce', 'with --disk-only: the guest agent holds the file systems still meanwhile')
    .option('--atomic', 'all disks or none; QEMU does no other')
    .option('--reuse-external', 'overlays that are there already, made for these images')
    .option('--no-metadata', 'libvirt forgets it at once, and no command will know it')
    .option('--validate', 'have libvirt check the XML against its schema (not in 7.0)')
    .optionsGroup('');

export type SpecOptions = OptionsOf<ReturnType<typeof withSpec<[], Record<never, never>>>>;

/** What virsh would be given, and what it means. */
interface Typed<Spec> {
  readonly text: string;
  readonly spec: Spec;
}

const parsed =
  <Spec>(parse: (text: string) => Spec | null, form: string) =>
  (text: string): Typed<Spec> => {
    const spec = parse(text);
    if (spec === null)
      throw unfit('It cannot be read.', `it is ${form}, and a comma in a path is written twice`);
    return { text, spec };
  };
