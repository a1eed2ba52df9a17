import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { AS_IN_VIRSH } from '../command-line/help.ts';
import { repeatedAs, unfit } from '../command-line/values.ts';
import { parseDiskspec, parseMemspec } from '../libvirt/disk-spec.ts';

/** The options by which a command line says what a snapshot is made of: those of `virsh snapshot-create-as`, and `--external`. */

/** Adds the options that say what is taken: disks, memory, files. */
export const withSpec = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup('External snapshots:')
    .option('--external', 'take an external snapshot: overlays and a memory file')
    .option('--disk-only', 'take an external snapshot of the disks only')
    .option(
      '--memspec <spec>',
      'take an external snapshot, its memory in [file=]/PATH',
      parsed(parseMemspec, '[file=]/PATH[,snapshot=external]'),
    )
    .addOption(
      repeatedAs(
        '--diskspec <spec>',
        'text',
        'set the overlay of a disk: DISK[,snapshot=no][,file=/PATH]',
        parsed(
          parseDiskspec,
          'DISK[,snapshot=no|external|manual][,driver=qcow2][,stype=file|block][,file=/PATH]',
        ),
      ),
    )
    .option('--live', 'do not pause the guest while its memory is saved (external)')
    .option('--quiesce', "freeze the guest's file systems (with --disk-only)")
    .option('--reuse-external', 'use existing overlay files that were made for these images')
    .optionsGroup(AS_IN_VIRSH)
    .option('--halt', 'stop the VM after the snapshot (power off, no clean shutdown)')
    .option('--atomic', 'take all disks or none (QEMU always works this way)')
    .option('--no-metadata', 'do not record the snapshot in libvirt')
    .option('--validate', 'let libvirt validate the XML (not available in libvirt 7.0)')
    .optionsGroup('');

export type SpecOptions = OptionsOf<ReturnType<typeof withSpec<[], Record<never, never>>>>;

/** The text for virsh, and what it means. */
interface Typed<Spec> {
  readonly text: string;
  readonly spec: Spec;
}

const parsed =
  <Spec>(parse: (text: string) => Spec | null, form: string) =>
  (text: string): Typed<Spec> => {
    const spec = parse(text);
    if (spec === null) throw unfit(`expected ${form}`, 'write a comma in a path twice');
    return { text, spec };
  };
