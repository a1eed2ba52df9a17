import { patternArgument, vmsArgument } from '../command-line/arguments.ts';
import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { labelOption, withRules } from '../prune/rule-options.ts';
import { allOption, jobsOption, strictOption, vmOption, withFilters } from '../run/select-options.ts';
import { withSpec } from './spec-options.ts';

const FAILURES = ['partial', 'check', 'exists', 'busy'] as const;

const withBasics = <Args extends unknown[], Values extends OptionValues>(command: CommandOf<Args, Values>) =>
  withSpec(
    command
      .option('-d, --description <text>', 'what it is for')
      .option('--force', 'override advisory checks (free space, no way back on this libvirt)'),
  ).option('--print-xml', 'print the XML that virsh would hand to libvirt, and do nothing');

const bareCreate = () =>
  new Verb('create', {
    summary: 'take a snapshot and give it a name',
    detail:
      'An internal one, of all writable disks, and of the memory when the VM runs (it is paused meanwhile). ' +
      'The name is the time in seconds since 1970. Refuses before anything is touched when a disk is not qcow2 or the ' +
      'snapshot could not work; says done only when libvirt and every disk hold it. With --label the name is made of the ' +
      'label and the time (UTC), and with rules of retention a prune of that label follows, if and only if it was taken. Of many ' +
      'VMs, one that is not suited (a raw disk) is skipped and said so, unless it was called by its own name. With --external ' +
      'or --disk-only nothing is written into the images: the guest goes on in new files beside them, which also works over a raw image.',
    failures: FAILURES,
    examples: [
      'kvmsnap create centos7-1',
      'name=$(kvmsnap create -q centos7-1)',
      'kvmsnap create centos7-1 --label nightly --keep-daily 7 --keep-weekly 4',
      "kvmsnap create 'web-*' db-1 --exclude web-test --label nightly",
      'kvmsnap create centos7-1 --external',
    ],
    needsWriting: true,
  });

const withCreateOptions = (verb: Verb) =>
  withFilters(
    withRules(
      withBasics(verb.addArgument(vmsArgument('names, UUIDs or patterns; or use --all')))
        .addOption(
          new MeantOption(
            '--xml <file>',
            'file',
            'as the XML in this file says, like virsh snapshot-create (of one VM)',
          ),
        )
        .option(
          '--redefine',
          'with --xml: take none, but have libvirt know the one in the file; what it knew of it is kept in ~/.local/state/kvmsnap',
        )
        .option('--current', 'with --redefine: make it the current one')
        .addOption(labelOption()),
    ).addOption(allOption()),
  )
    .addOption(jobsOption())
    .addOption(strictOption());

export type CreateOptions = OptionsOf<ReturnType<typeof withCreateOptions>> &
  Pick<OptionsOf<ReturnType<typeof withNamedOptions>>, 'vm'>;

export function create({ run }: Program): Verb {
  const verb = bareCreate();
  withCreateOptions(verb).action((vms, options) =>
    run(async (ctx) => (await import('./create.ts')).create(ctx, vms, null, options)),
  );
  return verb;
}

const bareCreateAs = () =>
  new Verb('create-as', {
    summary: 'take a snapshot under a name of yours',
    detail: 'As create. A name has at most 200 bytes, no /, no leading dot and no control characters.',
    failures: FAILURES,
    examples: [
      'kvmsnap create-as centos7-1 snapshot-2 -d "before the upgrade"',
      "kvmsnap create-as 'web-*' before-upgrade --vm db-1",
      'kvmsnap create-as centos7-1 before-upgrade --disk-only --quiesce',
    ],
    needsWriting: true,
  });

const withNamedOptions = (verb: Verb) =>
  withFilters(
    withBasics(
      verb
        .addArgument(patternArgument())
        .addArgument(new MeantArgument('<name>', 'name', 'name of the new snapshot')),
    ).addOption(vmOption()),
  )
    .addOption(jobsOption())
    .addOption(strictOption());

export function createAs({ run }: Program): Verb {
  const verb = bareCreateAs();
  withNamedOptions(verb).action((vm, name, options) =>
    run(async (ctx) => (await import('./create.ts')).create(ctx, [vm], name, options)),
  );
  return verb;
}
