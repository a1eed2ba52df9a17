import { vmArgument, vmsArgument } from '../command-line/arguments.ts';
import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { allOption, withFilters } from '../run/select-options.ts';

/** Which snapshots are listed: the options of `virsh snapshot-list`. */
const withSnapshotFilters = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup('Which snapshots:')
    .option('--roots', 'only snapshots without a parent')
    .option('--leaves', 'only those without children')
    .option('--no-leaves', 'only those with children')
    .option('--internal', 'only those inside the images')
    .option('--external', 'only those in files of their own')
    .option('--inactive', 'only those of a VM that was off')
    .option('--active', 'only those with the memory')
    .option('--disk-only', 'only those of a running VM without its memory')
    .addOption(new MeantOption('--from <name>', 'snapshot', 'only the children of this one'))
    .option('--current', 'only the children of the current one')
    .option('--descendants', 'of --from and --current: all that is below')
    .optionsGroup('');

const bareList = () =>
  new Verb('list', {
    summary: 'list the snapshots of VMs, or all VMs',
    detail:
      'Oldest first, the current one marked *. VM STATE is the guest memory saved with a snapshot, 0 or - for one taken of a ' +
      'VM that was off; it is not shown of several VMs, whose images are not looked at. Without a VM: every ' +
      'VM with its state, number of snapshots, current one and newest.',
    examples: [
      'kvmsnap list',
      'kvmsnap list centos7-1 --tree',
      'kvmsnap list centos7-1 --json',
      "kvmsnap list 'web-*' --state running",
    ],
    needsWriting: false,
  }).alias('ls');

const withListOptions = (verb: Verb) =>
  withFilters(
    withSnapshotFilters(
      verb
        .addArgument(vmsArgument('names, UUIDs or patterns; without any, all VMs at a glance'))
        .option('-t, --tree', 'draw parents and children'),
    )
      .option('--space', 'with what deleting each one frees (of one VM)')
      .addOption(allOption('the snapshots of all VMs')),
  );

export type ListOptions = OptionsOf<ReturnType<typeof withListOptions>>;

export function list({ run }: Program): Verb {
  const verb = bareList();
  withListOptions(verb).action((vms, options) =>
    run(async (ctx) => (await import('./list.ts')).list(ctx, vms, options)),
  );
  return verb;
}

/** How libvirt's own XML of a snapshot is printed. */
const withXml = <Args extends unknown[], Values extends OptionValues>(command: CommandOf<Args, Values>) =>
  command
    .option('--xml', "the snapshot's XML, as libvirt has it")
    .option('--security-info', 'of --xml: with passwords');

const bareCurrent = () =>
  new Verb('current', {
    summary: 'print the name of the current snapshot, or set it',
    detail:
      'The one that the VM was last reverted to, or that was taken last: the next one becomes its child. With --json: all facts. ' +
      "--set moves libvirt's mark alone; no disk and no guest changes.",
    failures: ['check', 'busy'],
    examples: ['kvmsnap current centos7-1', 'kvmsnap current centos7-1 --set snapshot-2'],
    needsWriting: ['set', 'securityInfo'],
  });

const withCurrentOptions = (verb: Verb) =>
  withXml(
    verb
      .addArgument(vmArgument())
      .addOption(new MeantOption('--set <name>', 'snapshot', 'make this one the current snapshot')),
  );

export type CurrentOptions = OptionsOf<ReturnType<typeof withCurrentOptions>>;

export function current({ run }: Program): Verb {
  const verb = bareCurrent();
  withCurrentOptions(verb).action((vm, options) =>
    run(async (ctx) => (await import('./current.ts')).current(ctx, vm, options)),
  );
  return verb;
}

const bareInfo = () =>
  new Verb('info', {
    summary: 'show a VM and its disks, or all of one snapshot',
    detail:
      'The VM: each disk as qemu-img sees it, with its backing chain, and the snapshots inside the images. A snapshot: ' +
      'all that is known of it, what it costs, and whether each disk really holds it.',
    examples: ['kvmsnap info centos7-1', 'kvmsnap info centos7-1 snapshot-2'],
    needsWriting: ['securityInfo'],
  });

const withInfoOptions = (verb: Verb) =>
  withXml(
    verb
      .addArgument(vmArgument())
      .addArgument(new MeantArgument('[name]', 'snapshot', 'the snapshot'))
      .option('--current', 'the current snapshot, instead of a name'),
  );

export type InfoOptions = OptionsOf<ReturnType<typeof withInfoOptions>>;

export type XmlOptions = Pick<InfoOptions, 'xml' | 'securityInfo'>;

export function info({ run }: Program): Verb {
  const verb = bareInfo();
  withInfoOptions(verb).action((vm, name, options) =>
    run(async (ctx) => (await import('./info.ts')).info(ctx, vm, name, options)),
  );
  return verb;
}
