import { snapshotArgument, vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { given, onSnapshot } from '../command-line/named.ts';
import { repeated } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('export', {
    group: 'Read data',
    summary: 'copy the disks of a snapshot into new images',
    detail:
      'DIR gets one image without a backing file for each disk (VM-DISK.qcow2), and the definition that the VM had then (VM.xml). The VM can keep running. ' +
      'Each copy is compared with the snapshot, and only then gets its final name; no existing file is overwritten.',
    failures: ['check', 'exists', 'busy'],
    examples: [
      'kvmsnap export web-1 before-upgrade /srv/exports',
      'kvmsnap export web-1/before-upgrade /srv/exports --disk vda --compress',
    ],
    topics: ['taking-out'],
    needsWriting: false,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .addArgument(
      new MeantArgument('[dir]', 'file', 'the directory for the new files (created if missing)', {
        needed: true,
      }),
    )
    .addOption(
      new MeantOption('--format <format>', 'text', 'set the format of the images (default: qcow2)').choices([
        'qcow2',
        'raw',
      ] as const),
    )
    .option('--compress', 'write compressed images (qcow2 only)')
    .addOption(repeated('--disk <target>', 'text', 'select only this disk, such as vda (repeatable)'))
    .option('--force', 'override advisory checks (free space, changed files)');

export type ExportOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `export`. */
export function exportCommand({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, name, directory, options) => {
    // VM/NAME and the directory are two
    const all = given(...[vm, name, directory].filter((word) => word !== undefined));
    const [to = ''] = all.slice(-1);
    return run(
      onSnapshot({ words: all.slice(0, -1), rest: [to] }, async (ctx, vm, name) =>
        (await import('./export.ts')).exportSnapshot(ctx, vm, name, to, options),
      ),
    );
  });
  return verb;
}
