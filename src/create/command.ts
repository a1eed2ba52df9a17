import { patternArgument, vmsArgument } from '../command-line/arguments.ts';
import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { AS_IN_VIRSH } from '../command-line/help.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { given, onSnapshot } from '../command-line/named.ts';
import { parseDuration } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { withPolicy } from '../policy/with-policy.ts';
import { labelOption, withRules } from '../prune/rule-options.ts';
import {
  allOption,
  jobsOption,
  policyOption,
  strictOption,
  vmOption,
  withFilters,
} from '../run/select-options.ts';
import { recorded } from '../watch/recorded.ts';
import { withSpec } from './spec-options.ts';

/** Headings in help. A create with keep rules never asks, so its help says which snapshots they delete. */
const THE_SNAPSHOT = 'The snapshot (by default, of all disks and the memory):';
const PRUNES = 'Afterwards, delete old snapshots with this label (without asking):';

const STRICT = 'fail if a VM is skipped because it cannot have snapshots';

const FAILURES = ['partial', 'check', 'exists', 'busy'] as const;

const withBasics = <Args extends unknown[], Values extends OptionValues>(command: CommandOf<Args, Values>) =>
  withSpec(
    command
      .optionsGroup(THE_SNAPSHOT)
      .option('-d, --description <text>', 'set the description of the snapshot')
      .option('--force', 'override checks of free space and of a way back')
      .addOption(
        new MeantOption('--before <program>', 'file', 'run this first for each VM; if it fails, skip it'),
      )
      .addOption(new MeantOption('--after <program>', 'file', 'run this last for each VM, whatever happened'))
      .option(
        '--hook-timeout <duration>',
        'stop these programs after this time (default: 60s)',
        parseDuration,
      )
      .option('--together', 'take all snapshots at one moment, or none'),
  )
    .optionsGroup(AS_IN_VIRSH)
    .option('--print-xml', 'print the XML that libvirt would get, and do nothing');

const bareCreate = () =>
  new Verb('create', {
    group: 'Take and revert',
    summary: 'take a snapshot named by the time; can prune old ones of its label',
    detail: '',
    failures: FAILURES,
    examples: ["kvmsnap create 'web-*' db-1 --label nightly --keep-daily 7 --keep-weekly 4"],
    topics: ['nightly', 'retention', 'policies', 'hooks', 'external'],
    needsWriting: true,
    takesHosts: true,
    notOnHosts: ['--together'],
    onOneHost: ['--print-xml'],
    outputs: ['prometheus'],
  });

const withCreateOptions = (verb: Verb) =>
  withFilters(
    withRules(
      PRUNES,
      withBasics(verb.addArgument(vmsArgument('names, UUIDs or patterns of VMs; @NAME: a policy')))
        .addOption(
          new MeantOption('--xml <file>', 'file', 'take the snapshot that this XML file describes (one VM)'),
        )
        .option('--redefine', 'register the snapshot of --xml instead of taking one')
        .option('--current', 'make it the current snapshot (with --redefine)')
        .addOption(labelOption('name the snapshot <label>-<UTC time>', THE_SNAPSHOT)),
    )
      .addOption(allOption())
      .addOption(policyOption()),
  )
    .addOption(jobsOption())
    .addOption(strictOption(STRICT));

export type CreateOptions = OptionsOf<ReturnType<typeof withCreateOptions>> &
  Pick<OptionsOf<ReturnType<typeof withNamedOptions>>, 'vm'>;

/** The command line of `create`. */
export function create(program: Program): Verb {
  const verb = bareCreate();
  withCreateOptions(verb).action((vms, options) =>
    program.run((ctx) =>
      withPolicy(ctx, program, vms, () =>
        recorded(ctx, { command: 'create', words: vms, options }, async () =>
          (await import('./create.ts')).create(ctx, vms, null, options),
        ),
      ),
    ),
  );
  return verb;
}

const bareCreateAs = () =>
  new Verb('create-as', {
    group: 'Take and revert',
    summary: 'take a snapshot with the given name',
    detail:
      'It is stored inside the image files of all writable disks. If the VM is running, its memory is saved too, and the guest is paused during this time.',
    failures: FAILURES,
    examples: [
      'kvmsnap create-as centos7-1 snapshot-2 -d "before the upgrade"',
      "kvmsnap create-as 'web-*' before-upgrade --vm db-1",
      "kvmsnap create-as 'web-*' before-upgrade --vm db-1 --together",
      'kvmsnap create-as centos7-1 before-upgrade --disk-only --quiesce',
    ],
    topics: ['snapshots', 'external', 'several-vms', 'hooks'],
    needsWriting: true,
    takesHosts: true,
    notOnHosts: ['--together'],
    onOneHost: ['--print-xml'],
  });

const withNamedOptions = (verb: Verb) =>
  withFilters(
    withBasics(
      verb
        .addArgument(patternArgument())
        .addArgument(new MeantArgument('[name]', 'name', 'name of the new snapshot', { needed: true })),
    ).addOption(vmOption()),
  )
    .addOption(jobsOption())
    .addOption(strictOption(STRICT));

/** The command line of `create-as`. */
export function createAs({ run }: Program): Verb {
  const verb = bareCreateAs();
  withNamedOptions(verb).action((vm, name, options) =>
    run(
      onSnapshot(
        { words: given(vm, name), isNew: true, others: options.vm ? '--vm' : null },
        async (ctx, vm, name) => (await import('./create.ts')).create(ctx, [vm], name, options),
      ),
    ),
  );
  return verb;
}
