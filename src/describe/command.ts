import { snapshotArgument, vmArgument } from '../command-line/arguments.ts';
import { MeantArgument } from '../command-line/meaning.ts';
import { type Program, Verb } from '../command-line/verb.ts';

export function hold({ run }: Program): Verb {
  const verb = new Verb('hold', {
    group: 'Keep and clean',
    summary: 'protect a snapshot from prune and delete',
    detail:
      'No option of prune or delete overrides a hold. The hold is stored as the last line of the description.',
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
    group: 'Keep and clean',
    summary: 'release the hold on a snapshot',
    detail: 'Afterwards prune and delete can delete the snapshot again.',
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
    group: 'Keep and clean',
    summary: 'change the description of a snapshot',
    detail: 'The images are not changed. An empty text removes the description.',
    failures: ['check', 'busy'],
    examples: ["kvmsnap describe centos7-1 snapshot-2 'after the upgrade'"],
    needsWriting: true,
  });
  verb
    .addArgument(vmArgument())
    .addArgument(snapshotArgument())
    .addArgument(new MeantArgument('<text>', 'text', 'the new description'))
    .action((vm, name, text) =>
      run(async (ctx) => (await import('./report.ts')).describe(ctx, vm, name, text)),
    );
  return verb;
}
