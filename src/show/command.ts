import { parseAge } from '../command-line/age.ts';
import { neededVmArgument, vmArgument, vmsArgument } from '../command-line/arguments.ts';
import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { given, onOne, onSnapshot } from '../command-line/named.ts';
import { parseJobs } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import type { Meant } from '../errors.ts';
import { withFilters } from '../run/select-options.ts';

/** Which snapshots are listed: the options of `virsh snapshot-list`. */
const withSnapshotFilters = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup('Which snapshots:')
    .option('--roots', 'list only snapshots without a parent')
    .option('--leaves', 'list only snapshots without children')
    .option('--no-leaves', 'list only snapshots with children')
    .option('--internal', 'list only internal snapshots')
    .option('--external', 'list only external snapshots')
    .option('--inactive', 'list only snapshots taken while the VM was shut off')
    .option('--active', 'list only snapshots with saved memory')
    .option('--disk-only', 'list only snapshots without memory, taken while the VM was running')
    .addOption(new MeantOption('--from <name>', 'snapshot', 'list only children of this snapshot'))
    .option('--current', 'list only children of the current snapshot')
    .option('--descendants', 'list all descendants (with --from or --current; --tree implies it)')
    .option('--newest <n>', 'list only the newest <n> snapshots of each VM', parseJobs)
    .option('--since <span>', 'list only snapshots younger than this: 90min, 26h, 7d, 6mo', parseAge)
    .optionsGroup('');

const bareList = () =>
  new Verb('list', {
    group: 'Look',
    summary: 'list the snapshots of a VM; without a VM, list all VMs',
    detail:
      'Snapshots are listed from the oldest to the newest; * marks the current one, H one on hold, R one that export, open, clone or verify is reading. The list of all VMs shows the state of each VM, the number of its snapshots and the newest one.',
    examples: [
      'kvmsnap list',
      'kvmsnap list centos7-1 --tree',
      'kvmsnap list centos7-1 --json',
      "kvmsnap list 'web-*' --state running",
    ],
    takesHosts: true,
    topics: ['snapshots', 'scripting'],
    needsWriting: false,
  }).alias('ls');

const withListOptions = (verb: Verb) =>
  withFilters(
    withSnapshotFilters(
      verb
        .addArgument(vmsArgument('names, UUIDs or patterns of VMs (default: an overview of all)'))
        .option('--all', 'list the snapshots of all VMs')
        .option('-t, --tree', 'draw parents and children as a tree')
        .option('--space', 'show what deleting each snapshot frees (one VM)'),
    ),
  );

export type ListOptions = OptionsOf<ReturnType<typeof withListOptions>>;

/** The command line of `list`. */
export function list({ run }: Program): Verb {
  const verb = bareList();
  withListOptions(verb).action((vms, options) => {
    const { from } = options;
    if (!from?.includes('/') || vms.length > 1)
      return run(async (ctx) => (await import('./list.ts')).list(ctx, vms, options));
    return run(
      onSnapshot({ words: [...vms, from], lineFor: lineWith('--from') }, async (ctx, vm, from) =>
        (await import('./list.ts')).list(ctx, [vm], { ...options, from }),
      ),
    );
  });
  return verb;
}

/** How libvirt's own XML of a snapshot is printed. */
const withXml = <Args extends unknown[], Values extends OptionValues>(command: CommandOf<Args, Values>) =>
  command
    .option('--xml', "print libvirt's XML of the snapshot")
    .option('--security-info', 'include passwords (with --xml)');

const bareCurrent = () =>
  new Verb('current', {
    group: 'Look',
    summary: 'print or set the current snapshot',
    detail:
      'The current snapshot is the parent of the next one. --set changes only what libvirt records; it changes no disk and no guest.',
    failures: ['check', 'busy'],
    examples: ['kvmsnap current centos7-1', 'kvmsnap current centos7-1 --set snapshot-2'],
    takesHosts: true,
    onOneHost: ['--xml'],
    topics: ['snapshots'],
    needsWriting: ['set', 'securityInfo'],
  });

const withCurrentOptions = (verb: Verb) =>
  withXml(
    verb
      .addArgument(neededVmArgument())
      .addOption(new MeantOption('--set <name>', 'snapshot', 'make this snapshot the current one')),
  );

/** The line in which this option names the snapshot. */
const lineWith =
  (option: string) =>
  (vm: string, name: string): Meant => ({
    operands: [vm],
    options: [`${option}=${name}`],
    without: [option],
  });

export type CurrentOptions = OptionsOf<ReturnType<typeof withCurrentOptions>>;

/** The command line of `current`. */
export function current({ run }: Program): Verb {
  const verb = bareCurrent();
  withCurrentOptions(verb).action((vm, options) => {
    const { set, ...others } = options;
    if (set === undefined)
      return run(async (ctx) => (await import('./current.ts')).current(ctx, vm ?? '', others));
    const line = { words: given(vm, set), lineFor: lineWith('--set') };
    return run(
      onSnapshot(line, async (ctx, vm, set) =>
        (await import('./current.ts')).current(ctx, vm, { ...others, set }),
      ),
    );
  });
  return verb;
}

const bareInfo = () =>
  new Verb('info', {
    group: 'Look',
    summary: 'show a VM and its disks, or one snapshot',
    detail:
      'For a VM: each disk with its backing chain, and the snapshots inside the images. For a snapshot: all facts, what it costs on disk, and whether each disk contains it.',
    examples: ['kvmsnap info centos7-1', 'kvmsnap info centos7-1 snapshot-2'],
    takesHosts: true,
    onOneHost: ['--xml'],
    topics: ['snapshots', 'disk-space'],
    needsWriting: ['securityInfo'],
  });

const withInfoOptions = (verb: Verb) =>
  withXml(
    verb
      .addArgument(vmArgument())
      .addArgument(new MeantArgument('[name]', 'snapshot', 'name of the snapshot'))
      .option('--current', 'use the current snapshot instead of a name'),
  );

export type InfoOptions = OptionsOf<ReturnType<typeof withInfoOptions>>;

export type XmlOptions = Pick<InfoOptions, 'xml' | 'securityInfo'>;

/** The command line of `info`. */
export function info({ run }: Program): Verb {
  const verb = bareInfo();
  withInfoOptions(verb).action((vm, name, options) =>
    run(
      onOne({ words: given(vm, name) }, async (ctx, vm, name) =>
        (await import('./info.ts')).info(ctx, vm, name, options),
      ),
    ),
  );
  return verb;
}
