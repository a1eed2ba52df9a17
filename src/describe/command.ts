import { snapshotArgument, vmArgument } from '../command-line/arguments.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

export function hold({ run }: Program): Verb {
  const verb = new Verb('hold', {
    summary: 'protect a snapshot from every prune and delete',
    detail: 'Kept as a last line of its description. No option of delete overrides it.',
    failures: ['check', 'busy'],
    examples: ['kvmsnap hold centos7-1 snapshot-2'],
    needsWriting: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .action((vm, name) => run(async (ctx) => (await import('./report.ts')).setHold(ctx, vm, name, true)));
  return verb;
}

export function unhold({ run }: Program): Verb {
  const verb = new Verb('unhold', {
    summary: 'take back a hold',
    detail: 'Lets prunes and deletes have the snapshot again.',
    failures: ['check', 'busy'],
    examples: ['kvmsnap unhold centos7-1 snapshot-2'],
    needsWriting: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .action((vm, name) => run(async (ctx) => (await import('./report.ts')).setHold(ctx, vm, name, false)));
  return verb;
}

export function describe({ run }: Program): Verb {
  const verb = new Verb('describe', {
    summary: 'give a snapshot another description',
    detail:
      "libvirt's metadata of the snapshot is written anew with the text; a copy of the old is kept in ~/.local/state/kvmsnap. " +
      'The images are not touched. An empty text takes the description away.',
    failures: ['check', 'busy'],
    examples: ["kvmsnap describe centos7-1 snapshot-2 'after the upgrade'"],
    needsWriting: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .addArgument(new MeantArgument('<text>', 'text', 'the description'))
    .action((vm, name, text) =>
      run(async (ctx) => (await import('./report.ts')).describe(ctx, vm, name, text)),
    );
  return verb;
}
