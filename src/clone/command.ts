import { snapshotArgument, vmArgument } from '../command-line/arguments.ts';
import type { OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { given, onSnapshot } from '../command-line/named.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('clone', {
    group: 'Read data',
    summary: 'define a new VM from a snapshot',
    detail:
      'NEWVM gets copies of the disks and the definition as they were when the snapshot was taken, and a UUID and MAC addresses of its own. ' +
      'It is not started. The VM of the snapshot can keep running.',
    failures: ['check', 'exists', 'busy'],
    examples: [
      'kvmsnap clone web-1 before-upgrade web-test',
      'kvmsnap clone web-1/before-upgrade web-test --to /srv/vms',
    ],
    topics: ['taking-out'],
    needsWriting: true,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .addArgument(new MeantArgument('[newvm]', 'name', 'name of the new VM', { needed: true }))
    .addOption(
      new MeantOption('--to <dir>', 'file', 'write the new files here (default: beside those of the VM)'),
    )
    .option('--force', 'override advisory checks (free space, changed files)');

export type CloneOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `clone`. */
export function cloneCommand({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vm, name, newVm, options) => {
    // VM/NAME and the new name are two
    const all = given(...[vm, name, newVm].filter((word) => word !== undefined));
    const [clone = ''] = all.slice(-1);
    return run(
      onSnapshot({ words: all.slice(0, -1), rest: [clone] }, async (ctx, vm, name) =>
        (await import('./clone.ts')).cloneSnapshot(ctx, vm, name, clone, options),
      ),
    );
  });
  return verb;
}
